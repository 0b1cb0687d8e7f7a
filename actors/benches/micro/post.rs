//! A message to a group: what a post does with it, down to the kernel, with real sessions on loopback sockets.

use std::{
    io::Write as _,
    net::TcpStream,
    sync::{Arc, mpsc},
    thread,
};

use actors::{
    board::Board,
    channels::Group,
    messages::{Audience, Member, ToPost},
    node::Node,
    player::{Address, IPV6_PREFIX, Player, SessionId, UserId},
    protocol::{Version, text_frame},
    seats::{SeatLimits, Seats},
    session::{Connection, Session},
    worker::Worker,
};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use tokio::sync::oneshot;

use crate::{
    deaf::Deaf,
    hub::{Drain, SESSIONS, connect, settings},
    nowhere::Nowhere,
};

const GROUP: Group = Group::Room(1);

/// Beside a loop that writes the same bytes to the same number of sockets and does nothing else.
pub fn group(criterion: &mut Criterion) {
    let (servers, clients) = connect();
    let (mut plain, plain_clients) = connect();
    let drain = Drain::start(clients.into_iter().chain(plain_clients).collect());
    let (told, started) = mpsc::sync_channel(1);
    let (end, ended) = oneshot::channel::<()>();
    let server = thread::spawn(move || serve(servers, &told, ended));
    let node: Arc<Node> = started.recv().expect("the node starts");
    let mut group = criterion.benchmark_group("post/message to 500 members");
    group.throughput(Throughput::Elements(SESSIONS as u64));
    // As long as a message of a few words with its envelope.
    let frame = text_frame(&"x".repeat(250));
    group.bench_function("baseline: write to 500 sockets", |bencher| {
        bencher.iter(|| {
            for socket in &mut plain {
                socket.write_all(&frame).expect("somebody reads");
            }
        });
    });
    group.bench_function("deliver", |bencher| bencher.iter(|| deliver(&node, &frame)));
    group.finish();
    drop(node);
    end.send(()).expect("the node is there");
    server.join().expect("the node did not panic");
    drain.stop();
}

/// Has a message delivered, and waits until it was: the post does one thing after the other.
fn deliver(node: &Node, frame: &Bytes) {
    let post = node.posts()[0].clone();
    let (audience, frame) = (Audience::Members, frame.clone());
    post.inbox.try_send(ToPost::Deliver { group: GROUP, audience, frame }).expect("room");
    let (done, handled) = oneshot::channel();
    // Somebody who is not there.
    let who = Member::Session(SessionId::next());
    let (frame, done) = (Bytes::new(), Some(done));
    post.inbox.try_send(ToPost::Dismiss { group: GROUP, who, frame, done }).expect("room");
    futures_executor::block_on(handled).expect("the post is there");
}

/// A node with a member of the group for each of the sockets, until `ended`.
fn serve(
    sockets: Vec<TcpStream>,
    started: &mpsc::SyncSender<Arc<Node>>,
    ended: oneshot::Receiver<()>,
) {
    actix::System::new().block_on(async {
        let board = Board::new("bench", 20_000_000, 1).expect("a legal board");
        let store = Arc::new(Nowhere(board));
        let node = Node::start(settings(), store, Arc::default(), Arc::default())
            .await
            .expect("the node starts");
        node.set_talk(Arc::new(Deaf::default()));
        let worker = Worker::start(node.clone());
        let desk = worker.desk(node.main());
        let seats = Arc::<Seats>::default();
        for socket in sockets {
            socket.set_nonblocking(true).expect("it is open");
            let stream = tokio::net::TcpStream::from_std(socket).expect("within a runtime");
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let address = Address::of(ip, IPV6_PREFIX);
            let limits = SeatLimits { all: SESSIONS, per_address: 0 };
            let seat = seats.take(address, limits).expect("one for each");
            let player = Player::anonymous(ip, address);
            player.set_user(UserId::new(player.session.number()));
            let (version, unread, compression) = (Version::V2, Vec::new(), false);
            let connection = Connection { stream, unread, version, compression, player, seat };
            let before = desk.table.stats.bytes_sent.get();
            let link = Session::start_at(desk.clone(), connection);
            // A session is known once it has started, which it has when it is greeted.
            while desk.table.stats.bytes_sent.get() == before {
                tokio::task::yield_now().await;
            }
            let ((done, joined), session) = (oneshot::channel(), link.id());
            let (held, frames) = (node.interest.hold(GROUP, 0), text_frame("joined"));
            let (group, wants_presence) = (GROUP, false);
            let admit = ToPost::Admit { group, session, wants_presence, frames, held, done };
            node.posts()[0].inbox.try_send(admit).expect("room");
            joined.await.expect("it is handled");
        }
        started.send(node.clone()).expect("somebody waits");
        // Gone is as good as told.
        let _ = ended.await;
        node.stop().await.expect("it keeps nothing");
    });
}
