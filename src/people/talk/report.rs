//! What a player reports to operators: a message, as it is kept, with some of those before it. Nothing of it is taken from
//! whoever reports, so nobody is accused of what they did not write.

use std::sync::Arc;

use actors::{
    channels::{Group, History, Message},
    link::SessionLink,
    player::UserId,
    talk::Reply,
};
use serde::Deserialize;

use super::{
    Right, Talks,
    envelope::{self, Fault, Which},
    unavailable,
};
use crate::{
    people::{
        groups::{GroupError, MESSAGE_BYTES_MAX},
        model::NewReport,
    },
    wall::now_ms,
};

/// Messages of a report: the one that is meant, and up to 19 before it.
const MESSAGES_MAX: usize = 20;

/// A report that is taken if its reporter has the right.
pub(super) struct Accusation {
    pub to: Group,
    pub which: Which,
    pub reason: String,
    pub right: Right,
}

/// What of a message is asked for.
#[derive(Deserialize)]
struct Signed {
    id: String,
    from: String,
}

impl Signed {
    /// Whoever has published a message has signed it.
    fn read(message: &Message) -> Option<Self> {
        serde_json::from_slice(&message.payload).ok()
    }

    fn user(&self) -> Option<UserId> {
        self.from.strip_prefix("user:").and_then(UserId::read)
    }
}

impl Talks {
    pub(super) fn report(
        &self,
        link: &Arc<SessionLink>,
        reporter: UserId,
        id: Option<String>,
        accusation: Accusation,
    ) -> Reply {
        let Accusation { to, which, reason, right } = accusation;
        let allowed = self.allowed(reporter, to, right);
        let (channels, groups) = (self.channels.clone(), self.people.groups.clone());
        let (speaker, of) = (link.clone(), id.clone());
        self.later_to(link.clone(), id, async move {
            allowed.await?;
            let history = channels.history(to, None).await.map_err(unavailable)?;
            let (about, message) = quoted(&history, &which)?;
            if about == reporter {
                return Err(Fault::Forbidden);
            }
            let report = NewReport { about, reason, message };
            groups.report(reporter, report, now_ms()).await.map_err(refused)?;
            Ok(Some(envelope::reported(&speaker, of.as_deref())))
        })
    }
}

fn refused(error: GroupError) -> Fault {
    log::debug!("talk: a report: {error}");
    match error {
        GroupError::TooManyReports => Fault::TooManyReports,
        GroupError::TooLong => Fault::BadEnvelope("`data.reason` is too long"),
        _ => Fault::Unavailable,
    }
}

/// Whom a report is about, and its messages as JSON, the one that is meant last.
fn quoted(history: &History, which: &Which) -> Result<(UserId, String), Fault> {
    let messages = &history.messages;
    let is_meant = |message: &Arc<Message>| match which {
        Which::Id(id) => Signed::read(message).is_some_and(|signed| signed.id == *id),
        Which::Offset(offset, epoch) => {
            let position = message.position;
            position.offset == *offset && epoch.is_none_or(|epoch| epoch == position.epoch)
        }
    };
    let at = messages.iter().position(is_meant).ok_or(Fault::UnknownMessage)?;
    let signed = Signed::read(&messages[at]).ok_or(Fault::UnknownMessage)?;
    // What operators have written they know.
    let about = signed.user().ok_or(Fault::Forbidden)?;
    let (mut texts, mut bytes) = (Vec::new(), "[]".len());
    for message in messages[..=at].iter().rev() {
        // To a user many write who do not hear each other: what others have written is none of this.
        let is_private = matches!(message.group, Group::User(_));
        if is_private && Signed::read(message).is_none_or(|other| other.from != signed.from) {
            continue;
        }
        let text = envelope::text(message);
        bytes += text.len() + 1;
        if texts.len() == MESSAGES_MAX || bytes > MESSAGE_BYTES_MAX {
            break;
        }
        texts.push(text);
    }
    texts.reverse();
    Ok((about, format!("[{}]", texts.join(","))))
}

#[cfg(test)]
mod tests {
    use actors::channels::{Epoch, PAYLOAD_BYTES_MAX, Position};
    use serde_json::{Map, Value};

    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).expect("not 0")
    }

    /// Messages by these users, each under its offset as id.
    fn history(group: Group, by: &[u64], text: &str) -> History {
        let epoch = Epoch(0xcd);
        let data = Map::from_iter([("text".to_owned(), Value::from(text))]);
        let message = |(at, by): (usize, &u64)| {
            let offset = at as u64 + 1;
            let payload = envelope::payload(&offset.to_string(), user(*by), None, group, &data);
            let position = Position { epoch, offset };
            Arc::new(Message { group, position, at_ms: 7, payload })
        };
        let messages: Vec<_> = by.iter().enumerate().map(message).collect();
        let last = Position { epoch, offset: by.len() as u64 };
        History { last, messages, is_complete: true }
    }

    fn offsets(quoted: &str) -> Vec<u64> {
        let messages: Vec<Value> = serde_json::from_str(quoted).expect("JSON");
        messages.iter().map(|message| message["offset"].as_u64().expect("a number")).collect()
    }

    #[test]
    fn a_report_has_the_message_and_up_to_nineteen_before_it() {
        let history = history(Group::Room(1), &[5; 60], "hi");
        for (which, expected) in [
            (Which::Id("3".to_owned()), 1..=3),
            (Which::Offset(40, None), 21..=40),
            (Which::Offset(60, Some(Epoch(0xcd))), 41..=60),
        ] {
            let (about, quoted) = quoted(&history, &which).expect("it is kept");
            assert_eq!((about, offsets(&quoted)), (user(5), expected.collect()));
        }
        for which in
            [Which::Id("61".to_owned()), Which::Offset(0, None), Which::Offset(7, Some(Epoch(1)))]
        {
            assert_eq!(quoted(&history, &which), Err(Fault::UnknownMessage), "{which:?}");
        }
    }

    #[test]
    fn a_report_fits_into_the_database_whatever_was_written() {
        let history = history(Group::Room(1), &[5; 30], &"x".repeat(PAYLOAD_BYTES_MAX - 200));
        let (_, quoted) = quoted(&history, &Which::Offset(30, None)).expect("it is kept");
        assert!(quoted.len() <= MESSAGE_BYTES_MAX, "{}", quoted.len());
        let offsets = offsets(&quoted);
        assert!(offsets.len() >= 9 && offsets.ends_with(&[29, 30]), "{offsets:?}");
    }

    #[test]
    fn what_others_have_written_to_a_user_is_no_part_of_a_report() {
        let history = history(Group::User(user(1)), &[5, 6, 5, 7], "hi");
        let (about, quoted) = quoted(&history, &Which::Offset(3, None)).expect("it is kept");
        assert_eq!((about, offsets(&quoted)), (user(5), vec![1, 3]));
    }
}
