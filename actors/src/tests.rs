//! Actors together, over real sockets and a store that does what a test wants of it.

mod boards;
mod courier;
mod delivery;
mod live;
mod refusals;
mod talk;

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    board::{Board, Offset, ShardIndex},
    deflate::Level,
    limits::{Rates, rate::Rate},
    link::SessionLink,
    live::LiveSettings,
    node::Node,
    player::{Address, IPV6_PREFIX, Player},
    protocol::{Close, Version},
    seats::{Seat, SeatLimits, Seats},
    session::{Connection, Session, frame::FrameLimits},
    settings::{BroadcasterSettings, HubSettings, NodeSettings, SessionSettings, ShardSettings},
    store::{
        BoxFuture, Feed, Store, StoreError, StoreState, Words,
        batch::{OpenBatch, Share},
        words_for,
    },
    worker::{Worker, desk::Desk},
};

/// A store in memory whose commits wait for permission, and fail or panic on demand.
pub(crate) struct TestStore {
    board: Board,
    words: Mutex<Vec<Words>>,
    permits: Arc<Semaphore>,
    /// Commits that were begun.
    commits: AtomicUsize,
    /// Boxes in batches that were closed.
    asked: AtomicUsize,
    /// Who was to be credited in them, and with how many boxes.
    shares: Mutex<Vec<Share>>,
    failing: AtomicBool,
    panicking: AtomicBool,
    /// Commits of shard 0 block its thread.
    blocking: AtomicBool,
    /// Begins with a batch when it is permitted to, so that more may join until then.
    lazy: AtomicBool,
    feed: Mutex<Option<Arc<dyn Feed>>>,
}

/// More permits than any test uses.
pub(crate) const FREELY: usize = 1_000_000;

impl TestStore {
    pub(crate) fn new(boxes: u32, shards: u32, permits: usize) -> Arc<Self> {
        Self::named("test", boxes, shards, permits)
    }

    pub(crate) fn named(name: &str, boxes: u32, shards: u32, permits: usize) -> Arc<Self> {
        let board = Board::new(name, boxes, shards).expect("a legal board");
        let words = board.shard_indexes().map(|shard| vec![0; words_for(board.boxes_in(shard))]);
        Arc::new(Self {
            words: Mutex::new(words.collect()),
            board,
            permits: Arc::new(Semaphore::new(permits)),
            commits: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            shares: Mutex::default(),
            failing: AtomicBool::new(false),
            panicking: AtomicBool::new(false),
            blocking: AtomicBool::new(false),
            lazy: AtomicBool::new(false),
            feed: Mutex::default(),
        })
    }
}

impl Store for TestStore {
    fn board(&self) -> &Board {
        &self.board
    }

    fn load(&self, shard: ShardIndex) -> BoxFuture<Result<Words, StoreError>> {
        let words = self.words.lock().expect("unpoisoned")[shard.index()].clone();
        Box::pin(async move { Ok(words) })
    }

    fn commit(&self, shard: ShardIndex, batch: OpenBatch) -> BoxFuture<Result<(), StoreError>> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let deadline = Instant::now() + Duration::from_secs(20);
        while shard == ShardIndex(0) && self.blocking.load(Ordering::SeqCst) {
            assert!(Instant::now() < deadline, "this test wanted it for too long");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!self.panicking.load(Ordering::SeqCst), "this test wants a panic");
        if !self.lazy.load(Ordering::SeqCst) {
            let batch = batch.close();
            self.asked.fetch_add(batch.offsets().len(), Ordering::SeqCst);
            self.shares.lock().expect("unpoisoned").extend(batch.shares());
        }
        let (permits, failing) = (self.permits.clone(), self.failing.load(Ordering::SeqCst));
        Box::pin(async move {
            permits.acquire().await.expect("never closed").forget();
            batch.close();
            if failing { Err(StoreError::Unavailable("this test wants it".into())) } else { Ok(()) }
        })
    }

    fn feed(&self, feed: Arc<dyn Feed>) {
        *self.feed.lock().expect("unpoisoned") = Some(feed);
    }

    fn state(&self) -> StoreState {
        StoreState::Up
    }

    fn close(&self) -> BoxFuture<Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Small bounds, no limits of rate.
pub(crate) fn settings() -> NodeSettings {
    NodeSettings {
        session: SessionSettings {
            mailbox: 16,
            outbox_bytes: 65_536,
            send_buffer_bytes: 65_536,
            read_buffer_bytes: 4096,
            ranges_outstanding: 16,
            checks_outstanding: 100,
        },
        shards: ShardSettings {
            threads: 1,
            mailbox: 64,
            gather: Duration::ZERO,
            queue_checks: 4,
            commit_checks: 2,
            compression: Level::new(1).expect("a level"),
        },
        broadcaster: BroadcasterSettings {
            mailbox: 16,
            interval: Duration::ZERO,
            gather: Duration::ZERO,
            batch_updates: 1000,
            // Never: a pulse comes when a test wants one.
            pulse_interval: Duration::from_secs(3600),
        },
        hub: HubSettings { mailbox: 16 },
        live: LiveSettings {
            frames: FrameLimits { message_bytes: 100, fragments: 4, text: None, deflate: false },
            checks: Rate::UNLIMITED,
            ranges: Rate::UNLIMITED,
            control_frames: Rate::UNLIMITED,
            messages: Rate::UNLIMITED,
            bytes_in: Rate::UNLIMITED,
            shared: Rates::default(),
            shard_wait_timeout: Duration::from_secs(20),
            drain_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(50),
            idle_timeout: Duration::from_secs(60),
        },
    }
}

/// Runs a test in a node of its own, at a desk for its main board.
pub(crate) fn run<F: Future>(
    settings: NodeSettings,
    store: &Arc<TestStore>,
    test: impl FnOnce(std::rc::Rc<Desk>) -> F,
) -> F::Output {
    run_node(settings, store, async |worker| {
        let desk = worker.desk(worker.node.main());
        // The worker keeps it for as long as the board is in play.
        test(desk).await
    })
}

/// Runs a test in a node of its own.
pub(crate) fn run_node<F: Future>(
    settings: NodeSettings,
    store: &Arc<TestStore>,
    test: impl FnOnce(std::rc::Rc<Worker>) -> F,
) -> F::Output {
    actix::System::new().block_on(async {
        let node = Node::start(settings, store.clone(), Arc::default(), Arc::default());
        test(Worker::start(node.await.expect("the node starts"))).await
    })
}

/// Somebody from this machine, and a seat of their own.
fn somebody() -> (Player, Seat) {
    let ip = std::net::Ipv4Addr::LOCALHOST.into();
    let address = Address::of(ip, IPV6_PREFIX);
    let limits = SeatLimits { all: 1, per_address: 0 };
    let seat = Arc::<Seats>::default().take(address, limits).expect("the only one");
    (Player::anonymous(ip, address), seat)
}

/// A client, and how its session is reached.
pub(crate) struct Client(TcpStream, pub(crate) Arc<SessionLink>);

impl Client {
    pub(crate) async fn connect(desk: &std::rc::Rc<Desk>, version: Version) -> Self {
        Self::connect_as(desk, version, somebody()).await
    }

    /// As this player, on this seat.
    pub(crate) async fn connect_as(
        desk: &std::rc::Rc<Desk>,
        version: Version,
        who: (Player, Seat),
    ) -> Self {
        let mut client = Self::start(desk, version, who).await;
        assert_eq!(client.frame().await.len(), 4, "greeted with the total");
        client
    }

    /// Connected, with buffers as small as a session's, and not greeted yet.
    async fn start(
        desk: &std::rc::Rc<Desk>,
        version: Version,
        (player, seat): (Player, Seat),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("accepted");
        let size = desk.node.settings.session.send_buffer_bytes;
        socket2::SockRef::from(&stream).set_send_buffer_size(size).expect("a legal size");
        let unread = Vec::new();
        let compression = false;
        let connection = Connection { stream, unread, version, compression, player, seat };
        let link = Session::start_at(desk.clone(), connection);
        let client = client.expect("connected");
        socket2::SockRef::from(&client).set_recv_buffer_size(size).expect("a legal size");
        Self(client, link)
    }

    /// Waits until the server has ended the connection without a word.
    async fn expect_end(mut self) {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.0.read_u8());
        ended.await.expect("an end in time").expect_err("not a word");
    }

    pub(crate) async fn send(&mut self, words: &[u32]) {
        // A mask of zeros leaves the payload as it is.
        let mut bytes = vec![0x82, 0x80 | (words.len() * 4) as u8, 0, 0, 0, 0];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.0.write_all(&bytes).await.expect("the session is there");
    }

    /// The payload of the next frame, which must come soon.
    pub(crate) async fn frame(&mut self) -> Vec<u8> {
        let read = async {
            let mut header = [0; 2];
            self.0.read_exact(&mut header).await.expect("a frame");
            let length = match header[1] {
                126 => self.0.read_u16().await.expect("a length"),
                short => u16::from(short),
            };
            let mut payload = vec![0; usize::from(length)];
            self.0.read_exact(&mut payload).await.expect("a whole frame");
            payload
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("a frame in time")
    }

    async fn ids(&mut self, count: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let frame = self.frame().await;
            assert_eq!(frame.len(), 8, "an update");
            ids.push(u32::from_le_bytes(frame[4..].try_into().expect("four")));
        }
        ids
    }
}

/// Waits for a condition that other threads bring about.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_stalled_store_stops_the_writers_and_not_the_readers() {
    let store = TestStore::new(1000, 1, 0);
    run(settings(), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut writer = Client::connect(&desk, Version::Plain).await;
        let mut reader = Client::connect(&desk, Version::Plain).await;
        for id in 1..=30 {
            writer.send(&[id]).await;
        }
        eventually("the writer is not read any more", || stats.sessions_paused.get() == 1).await;
        assert_eq!(stats.shard_queue.get(), 4, "the gate has four places");
        assert_eq!(stats.checks_received.get(), 5, "and one check is kept by its session");
        for _ in 0..10 {
            reader.send(&[1, 100]).await;
            assert_eq!(reader.frame().await[4..], [0; 13], "nothing is checked yet");
        }
        store.permits.add_permits(FREELY);
        let expected: Vec<u32> = (1..=30).collect();
        assert_eq!(reader.ids(30).await, expected);
        assert_eq!(writer.ids(30).await, expected);
        assert_eq!((stats.sessions_paused.get(), stats.shard_queue.get()), (0, 0));
    });
}

#[test]
fn who_waits_too_long_for_a_full_shard_is_turned_away() {
    let store = TestStore::new(1000, 1, 0);
    let mut settings = settings();
    settings.live.shard_wait_timeout = Duration::from_millis(50);
    run(settings, &store, async |desk| {
        let mut scoped = Client::connect(&desk, Version::V2).await;
        for id in 1..=6 {
            scoped.send(&[id]).await;
        }
        for id in 5..=6_u8 {
            assert_eq!(scoped.frame().await, [id, 0, 0, 0, 2], "refused: busy, and it stays");
        }
        let mut plain = Client::connect(&desk, Version::Plain).await;
        plain.send(&[7]).await;
        let close = plain.frame().await;
        assert_eq!((&close[..2], &close[2..]), (&1013_u16.to_be_bytes()[..], &b"busy"[..]));
        store.permits.add_permits(FREELY);
        assert_eq!(scoped.ids(4).await, [1, 2, 3, 4]);
    });
}

/// Who asks for a box while its first check is with the store used to be answered twice: by the
/// public update, and alone after a second commit of the same box.
#[test]
fn while_a_check_is_pending_the_public_update_is_the_one_answer() {
    let store = TestStore::new(1000, 1, 0);
    run(settings(), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut first = Client::connect(&desk, Version::Plain).await;
        let mut second = Client::connect(&desk, Version::Plain).await;
        first.send(&[7]).await;
        eventually("the first check", || store.commits.load(Ordering::SeqCst) == 1).await;
        second.send(&[7]).await;
        first.send(&[7]).await;
        for client in [&mut first, &mut second] {
            // The shard answers this after it has taken the check before it.
            client.send(&[1, 8]).await;
            assert_eq!(client.frame().await.len(), 9);
        }
        assert_eq!(stats.shard_queue.get(), 3, "all three are with the shard");
        store.permits.add_permits(1);
        for client in [&mut first, &mut second] {
            assert_eq!(client.ids(1).await, [7]);
        }
        eventually("nothing waits", || stats.shard_queue.get() == 0).await;
        store.permits.add_permits(FREELY);
        first.send(&[8]).await;
        for client in [&mut first, &mut second] {
            assert_eq!(client.ids(1).await, [8], "and nothing in between");
        }
        assert_eq!(stats.checks_committed.get(), 2, "one commit for each box");
    });
}

#[test]
fn a_failed_commit_refuses_everybody_in_it_and_flips_nothing() {
    let store = TestStore::new(1000, 1, FREELY);
    store.failing.store(true, Ordering::SeqCst);
    run(settings(), &store, async |desk| {
        let mut scoped = Client::connect(&desk, Version::V2).await;
        let mut plain = Client::connect(&desk, Version::Plain).await;
        scoped.send(&[9]).await;
        assert_eq!(scoped.frame().await, [9, 0, 0, 0, 1]);
        plain.send(&[9]).await;
        assert_eq!(plain.frame().await[..2], 1013_u16.to_be_bytes());
        store.failing.store(false, Ordering::SeqCst);
        scoped.send(&[1, 16]).await;
        assert_eq!(scoped.frame().await[4..], [0; 5]);
        scoped.send(&[9]).await;
        assert_eq!(scoped.ids(1).await, [9], "accepted again");
    });
}

#[test]
fn what_the_store_learns_by_itself_is_announced_once() {
    let store = TestStore::new(300_000, 2, FREELY);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        client.send(&[200_001]).await;
        assert_eq!(client.ids(1).await, [200_001]);
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        std::thread::spawn(move || {
            // Shard 1 begins with box 200,001: offset 0 is known already.
            let learn = |shard, offsets| futures_executor::block_on(feed.learned(shard, offsets));
            learn(ShardIndex(1), vec![Offset(0), Offset(1), Offset(1)]);
            learn(ShardIndex(0), vec![Offset(4)]);
        })
        .join()
        .expect("the feed takes it");
        let mut told = client.ids(2).await;
        told.sort_unstable();
        assert_eq!(told, [5, 200_002]);
        client.send(&[7]).await;
        assert_eq!(client.ids(1).await, [7], "nothing else came in between");
    });
}

/// Another node's check of a box whose check is pending here came first: its update is the answer to
/// everybody, and the commit that was on its way adds none.
#[test]
fn another_nodes_check_of_a_pending_box_is_answered_once() {
    let store = TestStore::new(1000, 1, 0);
    run(settings(), &store, async |desk| {
        let stats = desk.table.stats.clone();
        let mut first = Client::connect(&desk, Version::Plain).await;
        let mut second = Client::connect(&desk, Version::Plain).await;
        first.send(&[7]).await;
        eventually("the first check is with the store", || stats.shard_queue.get() == 1).await;
        second.send(&[7]).await;
        eventually("the second one waits", || stats.shard_queue.get() == 2).await;
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        feed.learned(ShardIndex(0), vec![Offset(6)]).await;
        for client in [&mut first, &mut second] {
            assert_eq!(client.ids(1).await, [7]);
        }
        eventually("nothing waits for the store", || stats.shard_queue.get() == 0).await;
        store.permits.add_permits(FREELY);
        first.send(&[8]).await;
        for client in [&mut first, &mut second] {
            assert_eq!(client.ids(1).await, [8], "and nothing in between");
        }
    });
}

#[test]
fn a_reset_forgets_every_box_and_ends_every_session() {
    let store = TestStore::new(250_000, 2, 1);
    run(settings(), &store, async |desk| {
        let node = desk.node.clone();
        let mut scoped = Client::connect(&desk, Version::V2).await;
        let mut plain = Client::connect(&desk, Version::Plain).await;
        plain.send(&[5]).await;
        assert_eq!(plain.ids(1).await, [5]);
        // On its way to the old board while that is reset.
        scoped.send(&[7]).await;
        eventually("a commit in flight", || desk.table.stats.shard_queue.get() == 1).await;
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        assert_eq!(feed.snapshot(ShardIndex(0)).await.expect("the shard is there")[0], 1 << 4);
        let reset = tokio::spawn(feed.reset());
        tokio::task::yield_now().await;
        store.permits.add_permits(FREELY);
        reset.await.expect("the reset ends");

        assert_eq!(scoped.frame().await, [7, 0, 0, 0, 1], "not on any board that there is");
        for client in [&mut scoped, &mut plain] {
            let close = client.frame().await;
            assert_eq!(
                (&close[..2], &close[2..]),
                (&1012_u16.to_be_bytes()[..], &b"board reset"[..])
            );
        }
        assert_eq!((desk.table.stats.announced.get(), node.main().overview().total), (0, 0));
        assert_eq!(feed.snapshot(ShardIndex(0)).await.expect("the shard is there")[0], 0);
        let mut newcomer = Client::connect(&desk, Version::Plain).await;
        newcomer.send(&[1, 100]).await;
        assert_eq!(newcomer.frame().await[4..], [0; 13]);
        newcomer.send(&[7]).await;
        assert_eq!(newcomer.frame().await, [1, 0, 0, 0, 7, 0, 0, 0], "totals begin anew");
    });
}

/// What an import made durable before a reset is not on the board after it.
#[test]
fn a_merge_that_a_reset_overtakes_adds_nothing() {
    let store = TestStore::new(1000, 1, 0);
    run(settings(), &store, async |desk| {
        let node = desk.node.clone();
        let feed = store.feed.lock().expect("unpoisoned").clone().expect("given at start");
        let merging = tokio::task::spawn_local({
            let node = node.clone();
            async move { node.main().merge(ShardIndex(0), vec![Offset(3)]).await }
        });
        // Lets the merge go to the store, where it waits.
        tokio::task::yield_now().await;
        feed.reset().await;
        store.permits.add_permits(FREELY);
        assert!(merging.await.expect("it ends").is_err(), "the board it was for is gone");
        assert_eq!(feed.snapshot(ShardIndex(0)).await.expect("the shard is there")[0], 0);
    });
}

/// Total, players, and tiles with their counts, of what has to be a pulse.
fn pulsed(frame: &[u8]) -> (u32, u32, Vec<(u16, u32)>) {
    let word = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().expect("four"));
    assert!(frame.len() >= 13 && word(0) == 0 && frame[4] == 1, "no pulse: {frame:?}");
    let tiles = (13..frame.len()).step_by(6);
    let tiles = tiles.map(|at| (u16::from_le_bytes([frame[at], frame[at + 1]]), word(at + 2)));
    (word(5), word(9), tiles.collect())
}

#[test]
fn a_pulse_tells_everybody_on_v2_what_changed_anywhere() {
    let store = TestStore::new(300_000, 2, FREELY);
    let mut settings = settings();
    settings.broadcaster.pulse_interval = Duration::from_millis(20);
    run(settings, &store, async |desk| {
        let mut plain = Client::connect(&desk, Version::Plain).await;
        let mut scoped = Client::connect(&desk, Version::V2).await;
        for id in [100_001, 100_002, 300_000] {
            plain.send(&[id]).await;
        }
        let mut seen = std::collections::BTreeMap::new();
        while seen.values().sum::<u32>() < 3 {
            let frame = scoped.frame().await;
            let (total, players, tiles) = pulsed(&frame);
            assert!((1..=2).contains(&players), "it may have been made before the second came");
            seen.extend(tiles);
            assert!(total >= seen.values().sum(), "tiles are told with the boxes they count");
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(1, 2), (2, 1)]);
        let overview = desk.node.main().overview();
        assert_eq!((overview.total, &overview.checked[..]), (3, &[0, 2, 1][..]));
        let mut told = plain.ids(3).await;
        told.sort_unstable();
        assert_eq!(told, [100_001, 100_002, 300_000], "and no pulse on plain");
        let (total, players, tiles) = pulsed(&scoped.frame().await);
        assert_eq!((total, players, tiles.len()), (3, 2, 0), "each change is told once");
    });
}

#[test]
fn a_board_is_counted_when_it_is_loaded() {
    let store = TestStore::new(300_000, 2, FREELY);
    store.words.lock().expect("unpoisoned")[1][0] = 0b1011;
    run(settings(), &store, async |desk| {
        assert_eq!(desk.node.main().overview().checked[..], [0, 0, 3]);
        assert_eq!(desk.table.stats.announced.get(), 3);
    });
}

#[test]
fn what_an_operator_merges_is_announced_once_and_durable_first() {
    let store = TestStore::new(300_000, 2, 0);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        let node = desk.node.clone();
        let offsets = vec![Offset(0), Offset(9), Offset(9)];
        let merge = actix::spawn(async move {
            let first = node.main().merge(ShardIndex(1), offsets.clone()).await;
            (
                first.expect("stored"),
                node.main().merge(ShardIndex(1), offsets).await.expect("stored"),
            )
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let tile = desk.node.main().read_tile(2).await.expect("a tile");
        assert!(tile.iter().all(|byte| *byte == 0), "nothing flips before the store has it");
        store.permits.add_permits(FREELY);
        assert_eq!(client.ids(2).await, [200_001, 200_010]);
        assert_eq!(merge.await.expect("no panic"), (2, 0), "new the first time only");
        let tile = desk.node.main().read_tile(2).await.expect("a tile");
        assert_eq!((tile.len(), &tile[..3]), (12_500, &[1, 2, 0][..]));
        client.send(&[7]).await;
        assert_eq!(client.ids(1).await, [7], "nothing else came in between");
        assert_eq!(desk.node.main().read_tile(3).await, None, "past the end");
    });
}

#[test]
fn a_merge_waits_until_everybody_was_handed_its_boxes() {
    let store = TestStore::new(300_000, 2, FREELY);
    let mut settings = settings();
    settings.broadcaster.interval = Duration::from_millis(200);
    run(settings, &store, async |desk| {
        let node = &desk.node;
        let began = Instant::now();
        for round in 0..4 {
            assert_eq!(
                node.main().merge(ShardIndex(0), vec![Offset(round)]).await.expect("stored"),
                1
            );
            assert_eq!(desk.table.stats.announced.get(), i64::from(round) + 1);
        }
        // The pace allows flushes at 0, 90, 280 and 470 ms.
        assert!(began.elapsed() >= Duration::from_millis(470), "one flush each");
        store.failing.store(true, Ordering::Relaxed);
        assert!(node.main().merge(ShardIndex(0), vec![Offset(99)]).await.is_err());
        assert_eq!(desk.table.stats.announced.get(), 4, "what is not stored is not told");
        store.failing.store(false, Ordering::Relaxed);
        node.begin_draining();
        assert!(
            node.main().merge(ShardIndex(0), vec![Offset(99)]).await.is_err(),
            "not while stopping"
        );
    });
}

#[test]
fn a_shard_that_panics_is_reported_and_the_others_go_on() {
    let store = TestStore::new(300_000, 2, FREELY);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        store.panicking.store(true, Ordering::SeqCst);
        client.send(&[1]).await;
        let fatal = tokio::time::timeout(Duration::from_secs(20), desk.node.fatal.wait()).await;
        assert_eq!(fatal.expect("reported"), "shard 0 of board 'test'");
        store.panicking.store(false, Ordering::SeqCst);
        client.send(&[200_001]).await;
        assert_eq!(client.ids(1).await, [200_001]);
    });
}

#[test]
fn draining_commits_and_announces_before_it_says_goodbye() {
    let store = TestStore::new(1000, 1, 0);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::Plain).await;
        for id in 1..=3 {
            client.send(&[id]).await;
        }
        let stats = desk.table.stats.clone();
        eventually("the checks are with the shard", || stats.shard_queue.get() == 3).await;
        let node = desk.node.clone();
        let drained = actix::spawn(async move { node.drain(Close::GOING_AWAY).await });
        eventually("draining", || desk.node.is_draining()).await;
        client.send(&[4]).await;
        store.permits.add_permits(FREELY);
        drained.await.expect("it drains");
        assert_eq!(client.ids(3).await, [1, 2, 3], "what was read is saved and announced");
        assert_eq!(client.frame().await[..2], 1001_u16.to_be_bytes());
        eventually("the session's end", || {
            // The client closes its side too.
            stats.connections.get() == 0 || client.0.try_write(b"").is_err() || {
                let _ = socket2::SockRef::from(&client.0).shutdown(std::net::Shutdown::Both);
                false
            }
        })
        .await;
    });
}
