//! What clients say, and what is delivered to groups.

use std::{
    rc::Rc,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::Recipient;
use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt as _,
    sync::{Semaphore, oneshot},
};

use super::{Client, FREELY, TestStore, eventually, run_node, settings, somebody};
use crate::{
    channels::Group,
    limits::rate::Rate,
    link::SessionLink,
    messages::{Audience, Member, ToPost},
    player::UserId,
    protocol::{Version, text_frame},
    settings::NodeSettings,
    talk::{Reply, Said, Talk, TalkStats, Unheard},
    worker::{Worker, desk::Desk},
};

/// Understands a few words, and says what it has heard.
struct Words {
    stats: TalkStats,
    heard: Mutex<Vec<String>>,
    /// What is asked for later is done when there is a permit.
    permits: Arc<Semaphore>,
}

impl Talk for Words {
    fn hear(&self, said: &Said<'_>) -> Reply {
        self.heard.lock().expect("unpoisoned").push(said.text.to_owned());
        let answer = text_frame(&format!("done {}", said.text));
        match said.text.split(' ').next() {
            Some("nothing") => Reply::Nothing,
            Some("later") => {
                let permits = self.permits.clone();
                Reply::Later(Box::pin(async move {
                    permits.acquire().await.expect("never closed").forget();
                    Some(answer)
                }))
            }
            Some("tile") => Reply::Frame(text_frame(&format!("{}", said.scene.looks_at(0)))),
            Some("groups") => Reply::Frame(text_frame(&said.scene.groups().to_string())),
            _ => Reply::Frame(answer),
        }
    }

    fn is_message(&self, _: &str) -> bool {
        true
    }

    fn unheard(&self, _: &Said<'_>, why: Unheard) -> Bytes {
        text_frame(if why == Unheard::Busy { "busy" } else { "rate" })
    }

    fn lost(&self, _: &SessionLink, messages: u64) -> Bytes {
        text_frame(&format!("lost {messages}"))
    }

    fn stats(&self) -> &TalkStats {
        &self.stats
    }
}

struct Stage {
    worker: Rc<Worker>,
    desk: Rc<Desk>,
    words: Arc<Words>,
}

impl Stage {
    fn post(&self) -> Arc<crate::wires::PostLink> {
        self.worker.node.posts()[0].clone()
    }

    fn inbox(&self) -> Recipient<ToPost> {
        self.post().inbox.clone()
    }

    async fn join(&self, client: &mut Client, group: Group, wants_presence: bool) {
        // Only those who have spoken are found.
        client.say("nothing").await;
        let words = &self.words;
        eventually("it is heard", || !words.heard.lock().expect("unpoisoned").is_empty()).await;
        words.heard.lock().expect("unpoisoned").clear();
        let held = self.worker.node.interest.hold(group, 0);
        let ((done, joined), session) = (oneshot::channel(), client.1.id());
        let frames = text_frame("joined");
        let admit = ToPost::Admit { group, session, wants_presence, frames, held, done };
        self.inbox().try_send(admit).expect("room");
        joined.await.expect("it is handled");
        assert_eq!(client.text().await, "joined");
    }

    fn deliver(&self, group: Group, audience: Audience, text: &str) {
        let deliver = ToPost::Deliver { group, audience, frame: text_frame(text) };
        self.inbox().try_send(deliver).expect("room");
    }

    async fn dismiss(&self, group: Group, who: Member) {
        let (done, dismissed) = oneshot::channel();
        let frame = text_frame("left");
        let dismiss = ToPost::Dismiss { group, who, frame, done: Some(done) };
        self.inbox().try_send(dismiss).expect("room");
        dismissed.await.expect("it is handled");
    }
}

/// Runs a test where clients are understood.
fn talking<F: Future>(settings: NodeSettings, test: impl FnOnce(Stage) -> F) -> F::Output {
    let store = TestStore::new(400_000, 1, FREELY);
    run_node(settings, &store, async |worker| {
        let (stats, heard) = (TalkStats::default(), Mutex::default());
        let words = Arc::new(Words { stats, heard, permits: Arc::new(Semaphore::new(0)) });
        assert!(worker.node.set_talk(words.clone()), "the first");
        let desk = worker.desk(worker.node.main());
        test(Stage { worker, desk, words }).await
    })
}

/// Room for text.
fn long_messages() -> NodeSettings {
    let mut settings = settings();
    settings.live.frames.message_bytes = 1024;
    settings
}

impl Client {
    async fn say(&mut self, text: &str) {
        assert!(text.len() <= 125);
        let mut bytes = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        bytes.extend(text.as_bytes());
        self.0.write_all(&bytes).await.expect("the session is there");
    }

    /// The next frame, which is text.
    async fn text(&mut self) -> String {
        String::from_utf8(self.frame().await).expect("text")
    }
}

async fn closed_with(client: &mut Client) -> u16 {
    let payload = client.frame().await;
    u16::from_be_bytes([payload[0], payload[1]])
}

fn user(number: u64) -> UserId {
    UserId::new(number).expect("not 0")
}

/// A connection of a user.
async fn connect_as(desk: &Rc<Desk>, number: u64) -> Client {
    let (player, seat) = somebody();
    player.set_user(Some(user(number)));
    Client::connect_as(desk, Version::V2, (player, seat)).await
}

#[test]
fn text_is_refused_where_nobody_understands_it_and_on_the_plain_protocol() {
    let store = TestStore::new(1000, 1, FREELY);
    super::run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::V2).await;
        client.say("hello").await;
        assert_eq!(closed_with(&mut client).await, 1003);
    });
    talking(settings(), async |stage| {
        let mut plain = Client::connect(&stage.desk, Version::Plain).await;
        plain.say("hello").await;
        assert_eq!(closed_with(&mut plain).await, 1003);
        let mut client = Client::connect(&stage.desk, Version::V2).await;
        client.say("hello").await;
        assert_eq!(client.text().await, "done hello");
        client.0.write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xFF]).await.expect("it is there");
        assert_eq!(closed_with(&mut client).await, 1007);
    });
}

#[test]
fn what_one_client_says_is_dealt_with_in_order() {
    talking(long_messages(), async |stage| {
        let mut client = Client::connect(&stage.desk, Version::V2).await;
        for text in ["one", "later two", "three", "later four", "five"] {
            client.say(text).await;
        }
        assert_eq!(client.text().await, "done one");
        let heard = || stage.words.heard.lock().expect("unpoisoned").len();
        eventually("the second is heard", || heard() == 2).await;
        // It waits, and the board does not.
        client.send(&[7]).await;
        assert_eq!(client.ids(1).await, [7]);
        assert_eq!(heard(), 2, "the third waits for the second");
        stage.words.permits.add_permits(1);
        assert_eq!([client.text().await, client.text().await], ["done later two", "done three"]);
        stage.words.permits.add_permits(1);
        assert_eq!([client.text().await, client.text().await], ["done later four", "done five"]);
    });
}

#[test]
fn a_client_may_have_so_much_under_way_and_no_more() {
    talking(long_messages(), async |stage| {
        let mut client = Client::connect(&stage.desk, Version::V2).await;
        for number in 0..12 {
            client.say(&format!("later {number}")).await;
        }
        for _ in 9..12 {
            assert_eq!(client.text().await, "busy");
        }
        stage.words.permits.add_permits(9);
        for number in 0..9 {
            assert_eq!(client.text().await, format!("done later {number}"));
        }
        client.say("hello").await;
        assert_eq!(client.text().await, "done hello", "there is room again");
    });
}

#[test]
fn text_over_its_rate_is_refused_and_the_connection_stays() {
    let mut settings = long_messages();
    settings.live.messages = Rate::new(0.001, 2);
    talking(settings, async |stage| {
        let mut client = Client::connect(&stage.desk, Version::V2).await;
        for _ in 0..30 {
            client.say("x").await;
        }
        for expected in ["done x", "done x", "rate", "rate"] {
            assert_eq!(client.text().await, expected);
        }
        for _ in 4..22 {
            assert_eq!(client.text().await, "rate");
        }
        let stats = stage.desk.table.stats.clone();
        eventually("it is read more slowly", || stats.sessions_throttled.get() == 1).await;
        for _ in 22..30 {
            assert_eq!(client.text().await, "rate");
        }
        client.send(&[7]).await;
        assert_eq!(client.ids(1).await, [7], "checks have a rate of their own");
    });
}

#[test]
fn members_hear_every_message_once_and_in_order() {
    const MEMBERS: usize = 150;
    const MESSAGES: usize = 40;
    talking(long_messages(), async |stage| {
        let group = Group::Room(1);
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            let mut member = Client::connect(&stage.desk, Version::V2).await;
            stage.join(&mut member, group, false).await;
            members.push(member);
        }
        let mut other = Client::connect(&stage.desk, Version::V2).await;
        assert_eq!(stage.words.stats.members.get(), MEMBERS as i64);
        for number in 0..MESSAGES {
            // More than a slice each, so that one would be overtaken by the next.
            stage.deliver(group, Audience::Members, &number.to_string());
        }
        for member in &mut members {
            for number in 0..MESSAGES {
                assert_eq!(member.text().await, number.to_string());
            }
        }
        assert_eq!(stage.words.stats.delivered.get(), (MEMBERS * MESSAGES) as u64);
        other.say("groups").await;
        assert_eq!(other.text().await, "0", "and nobody else hears any");
        stage.dismiss(group, Member::Session(members[0].1.id())).await;
        assert_eq!(members[0].text().await, "left");
        stage.deliver(group, Audience::Members, "later");
        assert_eq!(members[1].text().await, "later");
        members[0].say("groups").await;
        assert_eq!(members[0].text().await, "0");
    });
}

#[test]
fn what_concerns_presence_goes_to_those_who_want_it() {
    talking(long_messages(), async |stage| {
        let (group, mut both) = (Group::Team(1), Vec::new());
        for wants_presence in [false, true] {
            let mut client = Client::connect(&stage.desk, Version::V2).await;
            stage.join(&mut client, group, wants_presence).await;
            both.push(client);
        }
        stage.deliver(group, Audience::Observers, "presence");
        stage.deliver(group, Audience::Members, "message");
        assert_eq!(both[1].text().await, "presence");
        assert_eq!([both[0].text().await, both[1].text().await], ["message", "message"]);
    });
}

#[test]
fn nothing_is_kept_of_sessions_that_end() {
    talking(long_messages(), async |stage| {
        let (group, interest) = (Group::Room(1), stage.worker.node.interest.clone());
        for number in 0..3 {
            let mut client = connect_as(&stage.desk, 5).await;
            stage.join(&mut client, group, false).await;
            assert!(interest.is_held(group) && interest.is_held(Group::User(user(5))), "{number}");
            drop(client);
        }
        let stats = stage.desk.table.stats.clone();
        eventually("they have ended", || stats.connections.get() == 0).await;
        assert!(!interest.is_held(group) && !interest.is_held(Group::User(user(5))));
        assert_eq!(stage.words.stats.members.get(), 0);
        assert!(stage.desk.circle.as_ref().expect("they may speak").is_empty());
    });
}

#[test]
fn all_connections_of_a_user_are_found_and_who_becomes_another_leaves_its_groups() {
    talking(long_messages(), async |stage| {
        let mut one = connect_as(&stage.desk, 5).await;
        let mut two = connect_as(&stage.desk, 5).await;
        let mut other = connect_as(&stage.desk, 6).await;
        stage.deliver(Group::User(user(5)), Audience::Members, "to 5");
        assert_eq!([one.text().await, two.text().await], ["to 5", "to 5"]);
        stage.join(&mut two, Group::Team(1), false).await;
        two.1.player().set_user(Some(user(6)));
        stage.deliver(Group::User(user(5)), Audience::Members, "to 5 again");
        assert_eq!(one.text().await, "to 5 again");
        two.say("nothing").await;
        two.say("groups").await;
        assert_eq!(two.text().await, "0", "what it had joined as another");
        stage.deliver(Group::User(user(6)), Audience::Members, "to 6");
        assert_eq!([two.text().await, other.text().await], ["to 6", "to 6"]);
        stage.deliver(Group::Team(1), Audience::Members, "to the team");
        two.say("end").await;
        assert_eq!(two.text().await, "done end");
        let (members, said) = oneshot::channel();
        let group = Group::User(user(6));
        stage.inbox().try_send(ToPost::ReadMembers { group, members }).expect("room");
        let mut said = said.await.expect("it is handled");
        said.sort_unstable();
        assert_eq!(said, [&two, &other].map(|client| (client.1.id(), Some(user(6)))));
    });
}

#[test]
fn a_tile_is_whoever_looks_there() {
    talking(long_messages(), async |stage| {
        let mut here = Client::connect(&stage.desk, Version::V2).await;
        let mut elsewhere = Client::connect(&stage.desk, Version::V2).await;
        here.send(&[1, 8]).await;
        here.frame().await;
        elsewhere.send(&[200_001, 200_008]).await;
        elsewhere.frame().await;
        stage.deliver(Group::Tile(0), Audience::Members, "at 0");
        stage.deliver(Group::Tile(2), Audience::Members, "at 2");
        assert_eq!([here.text().await, elsewhere.text().await], ["at 0", "at 2"]);
        here.say("tile").await;
        elsewhere.say("tile").await;
        assert_eq!([here.text().await, elsewhere.text().await], ["true", "false"]);
        let (members, said) = oneshot::channel();
        let group = Group::Tile(2);
        stage.inbox().try_send(ToPost::ReadMembers { group, members }).expect("room");
        assert_eq!(said.await.expect("it is handled"), [(elsewhere.1.id(), None)]);
    });
}

/// Sends so much that neither the kernel nor the client's half of the outbox takes all of it.
#[test]
fn a_client_that_does_not_drain_loses_messages_and_is_told_how_many() {
    const MESSAGES: u64 = 2000;
    let mut settings = long_messages();
    settings.session.send_buffer_bytes = 4096;
    talking(settings, async |stage| {
        let group = Group::Room(1);
        let mut slow = Client::connect(&stage.desk, Version::V2).await;
        let mut quick = Client::connect(&stage.desk, Version::V2).await;
        for client in [&mut slow, &mut quick] {
            stage.join(client, group, false).await;
        }
        let text = |number: u64| format!("{number} {}", "x".repeat(500));
        for number in 0..MESSAGES {
            stage.deliver(group, Audience::Members, &text(number));
            assert_eq!(quick.text().await, text(number), "others hear all");
        }
        let (stats, lost) = (&stage.words.stats, stage.desk.table.stats.clone());
        let lost_here = MESSAGES * 2 - stats.delivered.get();
        assert!(lost_here > 0, "all of it fits into the buffers");
        assert_eq!(lost.lags.get(), 0, "it has lost no box");
        let mut heard = 0;
        loop {
            let next = slow.text().await;
            match next.strip_prefix("lost ") {
                Some(told) => {
                    assert_eq!(
                        told,
                        (MESSAGES - heard).to_string(),
                        "exactly those that are missing"
                    );
                    break;
                }
                None => assert_eq!(next, text(heard), "up to a point without a gap"),
            }
            heard += 1;
        }
        assert_eq!(heard, MESSAGES - lost_here);
        stage.deliver(group, Audience::Members, "again");
        assert_eq!([slow.text().await, quick.text().await], ["again", "again"]);
    });
}

#[test]
fn a_lagging_client_gets_its_boxes_again_and_is_told_what_it_lost() {
    let mut settings = long_messages();
    settings.session.send_buffer_bytes = 4096;
    talking(settings, async |stage| {
        let group = Group::Room(1);
        let mut slow = Client::connect(&stage.desk, Version::V2).await;
        stage.join(&mut slow, group, false).await;
        // Each answer is 12.5 KB: with sixteen of them under way its outbox is over the half.
        let stats = stage.desk.table.stats.clone();
        for _ in 0..16 {
            slow.send(&[1, 100_000]).await;
        }
        eventually("they are answered", || stats.ranges.get() == 16).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        for number in 0..50 {
            stage.deliver(group, Audience::Members, &number.to_string());
        }
        let lost = &stage.words.stats.lost;
        let lagging = [("reason", "lagging")];
        eventually("they are lost", || lost.get_or_create(&lagging).get() == 50).await;
        let mut ranges = 0;
        let told = loop {
            let frame = slow.frame().await;
            match frame.len() {
                12_504 => ranges += 1,
                _ => break String::from_utf8(frame).expect("text"),
            }
        };
        assert_eq!((ranges, &*told), (16, "lost 50"));
    });
}
