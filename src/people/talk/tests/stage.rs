//! Nodes in one process, and players on them.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    board::Board,
    channels::{Channels, Group},
    limits::rate::Rate,
    node::Node,
    player::{Address, IPV6_PREFIX, Player, UserId},
    protocol::Version,
    seats::{SeatLimits, Seats},
    session::{Connection, Session},
    store::{BoxFuture, StoreError},
    worker::{Worker, desk::Desk},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::super::{Talks, chat::tests::chat, rights::Rights};
use crate::{
    people::People,
    settings::Settings,
    store::embedded::{EmbeddedStore, Options},
};

/// A team.
pub const TEAM: &str = "team:00000000000000aa";

/// A room that everybody belongs to.
pub fn room(number: u8) -> &'static str {
    ["room:0000000000000000", "room:0000000000000001", "room:0000000000000002"][usize::from(number)]
}

pub fn user(number: u64) -> UserId {
    UserId::new(number).expect("not 0")
}

/// Everybody belongs to every team and room but one.
struct Everybody;

impl Rights for Everybody {
    fn is_member(&self, _: UserId, group: Group) -> BoxFuture<Result<bool, StoreError>> {
        Box::pin(async move { Ok(group != Group::Room(0xff)) })
    }
}

/// What nodes share.
pub struct Stage {
    pub channels: Arc<dyn Channels>,
}

/// Runs a test with the channels of one node, which several may share here.
pub fn on_stage<F: Future>(test: impl FnOnce(Stage) -> F) -> F::Output {
    let channels = super::local();
    actix::System::new().block_on(async { test(Stage { channels }).await })
}

/// A node.
pub struct Site {
    pub node: Arc<Node>,
    pub talks: Arc<Talks>,
    desk: Rc<Desk>,
    _worker: Rc<Worker>,
    _folder: TempDir,
}

impl Stage {
    /// One more node.
    pub async fn site(&self) -> Site {
        site(self.channels.clone()).await
    }
}

/// A node with these channels.
pub async fn site(channels: Arc<dyn Channels>) -> Site {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let board = Board::new("main", 200_000, 1).expect("a legal board");
    let store = EmbeddedStore::open(Options::new(folder.path(), board)).expect("it opens");
    let mut settings = Settings::defaults().node();
    settings.live.messages = Rate::UNLIMITED;
    settings.live.bytes_in = Rate::UNLIMITED;
    let node = Node::start(settings, Arc::new(store), Arc::default(), Arc::default()).await;
    let node = node.expect("the node starts");
    let (people, chat) = (People::alone(&node, folder.path()), chat(Duration::ZERO));
    let talks = Talks::start(&node, channels, Arc::new(Everybody), people, chat);
    let worker = Worker::start(node.clone());
    let desk = worker.desk(node.main());
    Site { node, talks, desk, _worker: worker, _folder: folder }
}

impl Site {
    /// A `v=2` connection of a user, or of nobody in particular.
    pub async fn connect(&self, user_number: Option<u64>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (stream, _) = accepted.expect("accepted");
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let address = Address::of(ip, IPV6_PREFIX);
        let limits = SeatLimits { all: 1, per_address: 0 };
        let seat = Arc::<Seats>::default().take(address, limits).expect("the only one");
        let player = Player::anonymous(ip, address);
        player.set_user(user_number.map(user));
        let (version, unread, compression) = (Version::V2, Vec::new(), false);
        let connection = Connection { stream, unread, version, compression, player, seat };
        Session::start_at(self.desk.clone(), connection);
        let mut client = Client(client.expect("connected"));
        assert_eq!(client.frame().await.expect("it lasts").1.len(), 4, "greeted with the total");
        client
    }
}

/// A player.
pub struct Client(TcpStream);

impl Client {
    pub async fn say(&mut self, said: &Value) {
        let text = said.to_string();
        let length = u16::try_from(text.len()).expect("short");
        let mut bytes = vec![0x81];
        match length {
            0..=125 => bytes.push(0x80 | length as u8),
            _ => {
                bytes.push(0x80 | 126);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.extend(text.as_bytes());
        self.0.write_all(&bytes).await.expect("the session is there");
    }

    /// First byte and payload of the next frame; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).await.ok()?;
        let length = match header[1] {
            126 => self.0.read_u16().await.ok()?,
            short => u16::from(short),
        };
        let mut payload = vec![0; usize::from(length)];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((header[0], payload))
    }

    /// The next text, which must come soon, past everything else.
    pub async fn text(&mut self) -> Value {
        let text = self.text_within(Duration::from_secs(30)).await;
        text.expect("a text in time")
    }

    /// The same, if one comes in time.
    pub async fn text_within(&mut self, limit: Duration) -> Option<Value> {
        let text = async {
            loop {
                let (first, payload) = self.frame().await.expect("the connection lasts");
                match first {
                    0x81 => return serde_json::from_slice(&payload).expect("JSON"),
                    0x88 => panic!("closed: {}", String::from_utf8_lossy(&payload[2..])),
                    _ => {}
                }
            }
        };
        timeout(limit, text).await.ok()
    }

    /// Joins a group.
    pub async fn join(&mut self, to: &str) -> Value {
        self.say(&json!({ "type": "join", "to": to })).await;
        let joined = self.text().await;
        assert_eq!((&joined["type"], &joined["to"]), (&json!("joined"), &json!(to)), "{joined}");
        joined
    }

    /// Sends a message, and waits until it has its place.
    pub async fn message(&mut self, to: &str, id: &str) {
        self.say(&json!({ "type": "message", "id": id, "to": to, "data": { "n": id } })).await;
        let sent = self.text().await;
        assert_eq!((&sent["type"], &sent["data"]["of"]), (&json!("sent"), &json!(id)), "{sent}");
    }
}

/// Waits for a condition that others bring about.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
