//! What must be true of people: who has checked which box, and what was said in which order. Plain data.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::faults::{Fault, Faults};

/// A place in the order of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
}

/// What was said to one group, as all its members together have heard it.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// By epoch, in the order in which they were first heard of.
    epochs: Vec<(String, BTreeMap<u64, String>)>,
    /// Where each message is, of those whose sender was answered or that somebody has heard.
    places: HashMap<String, Place>,
}

impl Order {
    fn epoch(&mut self, epoch: &str) -> &mut BTreeMap<u64, String> {
        let at = self.epochs.iter().position(|(known, _)| known == epoch);
        let at = at.unwrap_or_else(|| {
            self.epochs.push((epoch.to_owned(), BTreeMap::new()));
            self.epochs.len() - 1
        });
        &mut self.epochs[at].1
    }

    /// A message has this place: somebody has heard it there, or its sender was answered so.
    pub(crate) fn note(&mut self, place: &Place, id: &str, faults: &mut Faults) {
        let there = self.epoch(&place.epoch).entry(place.offset).or_insert_with(|| id.to_owned());
        if there != id {
            let text = || format!("{} of {}: {there} and {id}", place.offset, place.epoch);
            faults.note(Fault::MessagesDisagree, text);
            return;
        }
        let before = self.places.entry(id.to_owned()).or_insert_with(|| place.clone());
        if before.epoch == place.epoch && before.offset != place.offset {
            let text = || format!("{id}: at {} and at {}", before.offset, place.offset);
            faults.note(Fault::MessageTwice, text);
        }
        *before = place.clone();
    }

    /// The last message's place.
    pub(crate) fn last(&self) -> Option<Place> {
        let (epoch, messages) = self.epochs.last()?;
        let (offset, _) = messages.last_key_value()?;
        Some(Place { epoch: epoch.clone(), offset: *offset })
    }

    /// Messages that were said.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// How often the order began again.
    pub(crate) fn beginnings(&self) -> usize {
        self.epochs.len().saturating_sub(1)
    }

    /// Judges what is said to be kept of a group: its last `kept` messages, or all of them.
    pub(crate) fn judge_history(&self, said: &[(Place, String)], kept: usize, faults: &mut Faults) {
        let Some((epoch, messages)) = self.epochs.last() else {
            return if !said.is_empty() {
                faults.note(Fault::HistoryWrong, || {
                    format!("{} where nothing was written", said.len())
                });
            };
        };
        let wanted = messages.iter().rev().take(kept).rev();
        let wanted: Vec<_> = wanted
            .map(|(offset, id)| (Place { epoch: epoch.clone(), offset: *offset }, id.clone()))
            .collect();
        if said != wanted {
            faults.note(Fault::HistoryWrong, || {
                let ends = |list: &[(Place, String)]| {
                    let offset = |at: Option<&(Place, String)>| at.map(|(place, _)| place.offset);
                    (list.len(), offset(list.first()), offset(list.last()))
                };
                format!("{:?} instead of {:?}", ends(said), ends(&wanted))
            });
        }
    }
}

/// What one member of a group has heard, on all its connections.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    /// The last message, or that after which it was let in; nothing before, and while it is not known.
    pub(crate) last: Option<Place>,
}

impl Ear {
    /// A message came. Each is the next one.
    pub(crate) fn hear(&mut self, place: Place, who: usize, faults: &mut Faults) {
        if let Some(last) = &self.last
            && (last.epoch != place.epoch || last.offset + 1 != place.offset)
        {
            let (last, next) = (last.clone(), place.clone());
            faults.note(Fault::MessageMissed, || format!("player {who}: {next:?} after {last:?}"));
        }
        self.last = Some(place);
    }

    /// It is said to have heard everything up to here.
    pub(crate) fn is_at(&mut self, place: Place, who: usize, faults: &mut Faults) {
        if let Some(last) = self.last.as_ref().filter(|last| **last != place) {
            let (last, said) = (last.clone(), place.clone());
            faults.note(Fault::MessageMissed, || {
                format!("player {who}: is said to be at {said:?}, and has heard up to {last:?}")
            });
        }
        self.last = Some(place);
    }
}

/// Which boxes two players have checked: each its own, and both some in the same moments.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    /// Acknowledged, of one alone.
    pub(crate) own: [u64; 2],
    /// Acknowledged to either of both.
    pub(crate) shared: BTreeSet<u32>,
}

impl Pair {
    /// All boxes that both have checked.
    pub(crate) fn boxes(&self) -> u64 {
        self.own[0] + self.own[1] + self.shared.len() as u64
    }

    /// Judges what both are credited with: each its own boxes, and one of them each that both were after.
    pub(crate) fn judge(&self, credits: [u64; 2], first: usize, faults: &mut Faults) {
        let enough = (0..2).all(|who| credits[who] >= self.own[who]);
        if !enough || credits[0] + credits[1] != self.boxes() {
            faults.note(Fault::CreditsWrong, || {
                format!(
                    "players {first} and {}: {credits:?} for {:?} of their own and {} together",
                    first + 1,
                    self.own,
                    self.shared.len()
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(epoch: &str, offset: u64) -> Place {
        Place { epoch: epoch.to_owned(), offset }
    }

    fn classes(faults: &Faults) -> Vec<Fault> {
        faults.iter().map(|(fault, _)| fault).collect()
    }

    #[test]
    fn a_message_has_one_place_and_a_place_one_message() {
        let (mut order, mut faults) = (Order::default(), Faults::default());
        for (offset, id) in [(1, "a"), (2, "b"), (1, "a")] {
            order.note(&place("x", offset), id, &mut faults);
        }
        // After a failover the order may begin again.
        order.note(&place("y", 1), "b", &mut faults);
        assert!(faults.is_empty());
        assert_eq!((order.count(), order.beginnings(), order.last()), (2, 1, Some(place("y", 1))));
        order.note(&place("x", 2), "c", &mut faults);
        assert_eq!(classes(&faults), [Fault::MessagesDisagree]);
        let mut faults = Faults::default();
        order.note(&place("y", 2), "b", &mut faults);
        assert_eq!(classes(&faults), [Fault::MessageTwice]);
    }

    #[test]
    fn a_member_hears_each_message_once_and_in_order() {
        let heard = |places: &[(&str, u64)]| {
            let (mut ear, mut faults) = (Ear::default(), Faults::default());
            for (epoch, offset) in places {
                ear.hear(place(epoch, *offset), 0, &mut faults);
            }
            ear.is_at(place("x", 7), 0, &mut faults);
            classes(&faults)
        };
        assert_eq!(heard(&[("x", 5), ("x", 6), ("x", 7)]), []);
        for wrong in [
            &[("x", 5), ("x", 7)][..],
            &[("x", 6), ("x", 6), ("x", 7)],
            &[("x", 8), ("x", 7)],
            &[("y", 6), ("x", 7)],
            &[("x", 6)],
        ] {
            assert_eq!(heard(wrong), [Fault::MessageMissed], "{wrong:?}");
        }
    }

    #[test]
    fn what_is_kept_is_the_end_of_what_was_said() {
        let (mut order, mut faults) = (Order::default(), Faults::default());
        let all: Vec<_> =
            (1..=5).map(|offset| (place("x", offset), format!("m{offset}"))).collect();
        for (place, id) in &all {
            order.note(place, id, &mut faults);
        }
        order.judge_history(&all[2..], 3, &mut faults);
        order.judge_history(&all, 100, &mut faults);
        Order::default().judge_history(&[], 100, &mut faults);
        assert!(faults.is_empty());
        for wrong in [&all[1..], &all[3..], &all[2..4], &[]] {
            let mut faults = Faults::default();
            order.judge_history(wrong, 3, &mut faults);
            assert_eq!(classes(&faults), [Fault::HistoryWrong]);
        }
    }

    #[test]
    fn a_box_that_both_were_after_counts_for_one_of_them() {
        let pair = Pair { own: [3, 4], shared: [7, 8].into() };
        assert_eq!(pair.boxes(), 9);
        let judged = |credits| {
            let mut faults = Faults::default();
            pair.judge(credits, 0, &mut faults);
            faults.is_empty()
        };
        assert!(judged([3, 6]) && judged([4, 5]) && judged([5, 4]));
        for wrong in [[3, 4], [5, 6], [2, 7], [6, 3]] {
            assert!(!judged(wrong), "{wrong:?}");
        }
    }
}
