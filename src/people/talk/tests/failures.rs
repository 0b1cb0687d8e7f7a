//! What may happen to Redis while people talk: connections that are cut, and a master that dies.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actors::channels::{Channels, Group, part_of};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::{JoinHandle, spawn_blocking, spawn_local},
    time::sleep,
};
use xtask::{
    guardian::{Folder, Guardian},
    redis::RedisCluster,
};

use super::{
    kind, room,
    stage::{Client, Site, site},
};
use crate::store::cluster::{channels::RedisChannels, keys::slot_of, tests::access_to};

/// A cluster for this test alone, whose processes end with it.
struct Own {
    redis: Arc<RedisCluster>,
    _guardian: Guardian,
}

impl Own {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().map(TempDir::keep);
        let folder = folder.expect("a temporary folder");
        let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove).expect("sh runs");
        let redis = RedisCluster::start_anywhere(guardian.folder()).expect("a cluster forms");
        Self { redis: Arc::new(redis), _guardian: guardian }
    }

    async fn site(&self) -> Site {
        let channels = Arc::new(RedisChannels::new(access_to(&self.redis), "talk"));
        tokio::spawn(channels.run());
        channels.until_heard().await;
        site(channels as Arc<dyn Channels>).await
    }

    /// Ends every connection that has subscribed to something.
    async fn cut(&self) {
        let redis = self.redis.clone();
        let cut = move || {
            for node in redis.nodes() {
                node.call(&["CLIENT", "KILL", "TYPE", "pubsub"]).expect("it answers");
            }
        };
        spawn_blocking(cut).await.expect("it ends");
    }

    /// Kills the master that has a group, and waits until another one has taken its place.
    async fn kill_master_of(&self, group: Group) {
        let redis = self.redis.clone();
        let kill = move || {
            let slot = slot_of(&format!("talk:talk:{}", part_of(group)));
            let members = redis.nodes()[0].members().expect("it answers");
            let master = members.iter().find(|member| member.is_master() && member.serves(slot));
            let master = master.expect("every slot has a master");
            let node = redis.nodes().iter().find(|node| master.is_at(node.address()));
            node.expect("one of ours").kill();
            redis.wait_until_ok(Duration::from_secs(60)).expect("another one takes over");
        };
        spawn_blocking(kill).await.expect("it ends");
    }
}

/// Between two messages of a writer: with two of them the hundred that are kept are those of the last three seconds,
/// in which a cut connection is noticed and replaced on a busy machine, too.
const PAUSE: Duration = Duration::from_millis(60);

/// Says one thing after the other until it is told to stop, and each again until it is known to have its place.
fn write(mut client: Client, name: &'static str, stop: Arc<AtomicBool>) -> JoinHandle<Vec<String>> {
    spawn_local(async move {
        let (mut sent, mut number) = (Vec::new(), 0);
        while !stop.load(Ordering::Relaxed) {
            let id = format!("{name}-{number}");
            let deadline = Instant::now() + Duration::from_secs(60);
            loop {
                assert!(Instant::now() < deadline, "{id} is never taken");
                client.say(&json!({ "type": "message", "id": id, "to": room(1) })).await;
                let answer = client.text().await;
                assert_eq!(answer["data"]["of"], id.as_str());
                match kind(&answer) {
                    "sent" => break,
                    "error" => assert_eq!(answer["data"]["code"], "unavailable", "{answer}"),
                    other => panic!("unexpected: {other}"),
                }
            }
            sent.push(id);
            number += 1;
            sleep(PAUSE).await;
        }
        sent
    })
}

/// What one member has heard.
#[derive(Default)]
struct Books {
    at: Option<(String, u64)>,
    heard: BTreeMap<String, usize>,
    /// Messages of which it was told that they are missing; an unknown number counts once.
    lost: u64,
    renumbered: usize,
}

impl Books {
    fn hear(&mut self, said: &Value) {
        let data = if kind(said) == "message" { said } else { &said["data"] };
        let epoch = data["epoch"].as_str().expect("an epoch").to_owned();
        let offset = data["offset"].as_u64().expect("an offset");
        match kind(said) {
            "joined" => {}
            "message" => {
                let (known, before) = self.at.clone().expect("it has joined");
                assert_eq!((&epoch, offset), (&known, before + 1), "without a gap: {said}");
                *self.heard.entry(said["id"].as_str().expect("an id").to_owned()).or_default() += 1;
            }
            "lost" => match data["messages"].as_u64() {
                Some(messages) => self.lost += messages,
                None => {
                    self.lost += 1;
                    self.renumbered += 1;
                }
            },
            other => panic!("unexpected: {other}"),
        }
        self.at = Some((epoch, offset));
    }
}

/// Joins, then reads until nothing has come for a while after `stop`.
async fn read(mut client: Client, stop: Arc<AtomicBool>) -> JoinHandle<Books> {
    let mut books = Books::default();
    books.hear(&client.join(room(1)).await);
    spawn_local(async move {
        loop {
            match client.text_within(Duration::from_secs(4)).await {
                Some(said) => books.hear(&said),
                None if stop.load(Ordering::Relaxed) => return books,
                None => {}
            }
        }
    })
}

/// Two nodes with two members and a writer each; what the writers know to be sent, and what each member has heard.
async fn talk_while(own: &Own, trouble: impl AsyncFnOnce()) -> (Vec<String>, Vec<Books>) {
    let sites = [own.site().await, own.site().await];
    let (stop, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (mut members, mut writers) = (Vec::new(), Vec::new());
    for (number, site) in sites.iter().enumerate() {
        for member in 0..2 {
            let client = site.connect(Some(10 * number as u64 + member + 1)).await;
            members.push(read(client, over.clone()).await);
        }
    }
    for (site, name) in sites.iter().zip(["one", "two"]) {
        let client = site.connect(Some(if name == "one" { 101 } else { 102 })).await;
        writers.push(write(client, name, stop.clone()));
    }
    sleep(Duration::from_millis(500)).await;
    trouble().await;
    sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for writer in writers {
        sent.extend(writer.await.expect("it ends"));
    }
    over.store(true, Ordering::Relaxed);
    let mut books = Vec::new();
    for member in members {
        books.push(member.await.expect("it ends"));
    }
    let numbers: Vec<_> = books.iter().map(|b| (b.heard.len(), b.lost, b.renumbered)).collect();
    println!("{} sent; heard, lost, renumbered: {numbers:?}", sent.len());
    (sent, books)
}

#[test]
fn cut_connections_lose_no_message_and_double_none() {
    actix::System::new().block_on(async {
        let own = Own::start();
        let (sent, books) = talk_while(&own, async || {
            for _ in 0..5 {
                own.cut().await;
                sleep(Duration::from_millis(700)).await;
            }
        })
        .await;
        assert!(sent.len() > 80, "{} messages are few", sent.len());
        for books in books {
            assert_eq!((books.lost, books.heard.len()), (0, sent.len()));
            assert!(sent.iter().all(|id| books.heard.get(id) == Some(&1)), "each once");
        }
    });
}

#[test]
fn a_killed_master_loses_no_message_that_nobody_is_told_of() {
    actix::System::new().block_on(async {
        let own = Own::start();
        let (sent, books) =
            talk_while(&own, async || own.kill_master_of(Group::Room(1)).await).await;
        assert!(sent.len() > 40, "{} messages are few", sent.len());
        for books in books {
            assert!(books.heard.values().all(|times| *times == 1), "none twice");
            let missing = sent.iter().filter(|id| !books.heard.contains_key(*id)).count();
            assert!(missing == 0 || books.lost > 0, "{missing} are missing without a word");
        }
    });
}
