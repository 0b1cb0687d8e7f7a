//! The classes of discrepancy the books can have, and the list of those found. One `Faults` per thread while the run
//! lasts, merged at its end; any entry makes the run fail.

use std::collections::BTreeMap;

use serde::Serialize;

/// Examples kept of each class: enough to see a pattern, few enough to read.
const EXAMPLES_MAX: usize = 5;

/// What went wrong, as a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    NotConnected,
    HandshakeFailed,
    ConnectionLost,
    Wire,
    NoHello,
    Gap,
    Repeat,
    TotalMoved,
    TotalFell,
    TotalsDisagree,
    IdTwice,
    Stranger,
    UnaskedAnswer,
    AnsweredTwice,
    OutsideWatch,
    MissedInWatch,
    BadRange,
    Unanswered,
    Behind,
    NotRelayed,
    NotOnBoard,
    StrangerOnBoard,
    FinalTotal,
    Popcount,
    Unverified,
    Grew,
    NotSampled,
    TextRefused,
    MessageMissed,
    MessagesDisagree,
    MessageTwice,
    HistoryWrong,
    CreditsWrong,
    LeaderboardWrong,
    BadText,
}

impl Fault {
    /// One sentence for the report.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::NotConnected => "a connection could not be opened",
            Self::HandshakeFailed => "a handshake failed that the server had not refused",
            Self::ConnectionLost => "the server ended a connection (allow with --allow-close)",
            Self::Wire => "the server sent something the protocol does not allow",
            Self::NoHello => "a connection's first message was not the 4-byte total",
            Self::Gap => "a listener's update skipped totals: it missed updates",
            Self::Repeat => "a listener was told a total again, or a lower one: a repeated update",
            Self::TotalMoved => {
                "a 4-byte total on a plain connection differs from what it was told last"
            }
            Self::TotalFell => "totals fell on one connection",
            Self::TotalsDisagree => "one total was announced with two different ids",
            Self::IdTwice => "one id was announced under two totals",
            Self::Stranger => {
                "an id was announced that nobody here had checked, on a board that is ours alone"
            }
            Self::UnaskedAnswer => {
                "an 8-byte answer to a connection that had asked nothing of the kind"
            }
            Self::AnsweredTwice => "a check was answered more than once",
            Self::OutsideWatch => "a v2 connection got an update outside the tiles it watches",
            Self::MissedInWatch => {
                "a v2 connection did not get every update of a tile it watches exactly once"
            }
            Self::BadRange => {
                "a range answer has the wrong first id, length or padding, or came unasked"
            }
            Self::Unanswered => "a check was never answered",
            Self::Behind => "a listener had not reached the final total when the run was over",
            Self::NotRelayed => "the other server never told of an acknowledged check",
            Self::NotOnBoard => "an acknowledged check is not set on the board",
            Self::StrangerOnBoard => {
                "a box is set that nobody here had checked, on a board that is ours alone"
            }
            Self::FinalTotal => {
                "the final announced total is not the initial one plus the distinct acknowledged ids"
            }
            Self::Popcount => {
                "the final announced total is not the number of boxes set on the board"
            }
            Self::Unverified => "the board could not be read to verify the books",
            Self::Grew => "what the server uses grew by more than is allowed",
            Self::TextRefused => "a text of a member was refused",
            Self::MessageMissed => {
                "a member did not hear every message to its group exactly once and in order"
            }
            Self::MessagesDisagree => "members heard one message at two places",
            Self::MessageTwice => "one message has two places in the order of its group",
            Self::HistoryWrong => "what is kept of a group is not the end of what was said to it",
            Self::CreditsWrong => {
                "players are not credited with exactly the boxes that they checked first"
            }
            Self::LeaderboardWrong => {
                "a leaderboard is not what players and teams are credited with"
            }
            Self::BadText => "a text is no envelope, or is missing what its type must have",
            Self::NotSampled => "the server did not say often enough what it uses",
        }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    found: BTreeMap<Fault, Found>,
}

/// How often a class occurred, and the first few cases.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Found {
    pub(crate) count: u64,
    pub(crate) examples: Vec<String>,
}

impl Faults {
    /// Notes one case; `example` is only called while there is room for it.
    #[cold]
    pub(crate) fn note(&mut self, fault: Fault, example: impl FnOnce() -> String) {
        let found = self.found.entry(fault).or_default();
        found.count += 1;
        if found.examples.len() < EXAMPLES_MAX {
            found.examples.push(example());
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (fault, found) in other.found {
            let mine = self.found.entry(fault).or_default();
            mine.count += found.count;
            let room = EXAMPLES_MAX - mine.examples.len();
            mine.examples.extend(found.examples.into_iter().take(room));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fault, &Found)> {
        self.found.iter().map(|(fault, found)| (*fault, found))
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> Vec<(Fault, u64)> {
        self.iter().map(|(fault, found)| (fault, found.count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_examples_stay_few() {
        let (mut one, mut other) = (Faults::default(), Faults::default());
        assert!(one.is_empty());
        (0..4).for_each(|i| one.note(Fault::Gap, || format!("one {i}")));
        (0..4).for_each(|i| other.note(Fault::Gap, || format!("other {i}")));
        other.note(Fault::Wire, || "w".into());
        one.merge(other);
        assert_eq!(one.counts(), [(Fault::Wire, 1), (Fault::Gap, 8)]);
        let (_, gaps) = one.iter().nth(1).unwrap();
        assert_eq!(gaps.examples, ["one 0", "one 1", "one 2", "one 3", "other 0"]);
    }
}
