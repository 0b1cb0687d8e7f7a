//! What a connection costs in memory, by an allocator that counts: one whose client says nothing, and one of a user in
//! three groups. Alone in its process, so that nothing else is counted.

mod deaf;
mod nowhere;

use std::{
    io::Read as _,
    net::{Ipv4Addr, TcpListener, TcpStream},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    board::Board,
    channels::Group,
    link::SessionLink,
    messages::ToPost,
    node::Node,
    player::{Address, IPV6_PREFIX, Player, UserId},
    protocol::{Version, text_frame},
    seats::{SeatLimits, Seats},
    session::{Connection, Session},
    worker::{Worker, desk::Desk},
};
use tokio::sync::oneshot;

use self::{
    deaf::Deaf,
    nowhere::{Nowhere, settings},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CONNECTIONS: u64 = 300;

/// Members of a group, on the average.
const CROWD: u64 = 10;

/// Bytes that are in use now.
fn in_use() -> i64 {
    dhat::HeapStats::get().curr_bytes as i64
}

/// A connection that has been greeted. The client's end takes nothing from the heap.
async fn connect(
    desk: &Rc<Desk>,
    seats: &Arc<Seats>,
    user: Option<u64>,
) -> (TcpStream, Arc<SessionLink>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let mut client = TcpStream::connect(address).expect("it listens");
    let (stream, _) = listener.accept().expect("accepted");
    stream.set_nonblocking(true).expect("an option");
    let stream = tokio::net::TcpStream::from_std(stream).expect("a socket");
    let ip = Ipv4Addr::LOCALHOST.into();
    let address = Address::of(ip, IPV6_PREFIX);
    let limits = SeatLimits { all: 10_000, per_address: 0 };
    let seat = seats.take(address, limits).expect("a seat for everybody");
    let player = Player::anonymous(ip, address);
    player.set_user(user.and_then(UserId::new));
    let (version, unread, compression) = (Version::V2, Vec::new(), false);
    let connection = Connection { stream, unread, version, compression, player, seat };
    let link = Session::start_at(desk.clone(), connection);
    client.set_nonblocking(true).expect("an option");
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut greeting = [0; 6];
    while client.read(&mut greeting).is_err() {
        assert!(Instant::now() < deadline, "nobody greets");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (client, link)
}

async fn join(node: &Node, link: &SessionLink, group: Group) {
    let ((done, joined), session) = (oneshot::channel(), link.id());
    let (held, frames) = (node.interest.hold(group, 0), text_frame("joined"));
    let admit = ToPost::Admit { group, session, wants_presence: false, frames, held, done };
    node.posts()[0].inbox.try_send(admit).expect("room");
    joined.await.expect("it is handled");
}

#[test]
fn a_silent_connection_pays_nothing_for_talk_and_a_user_in_three_groups_little() {
    let _counting = dhat::Profiler::builder().testing().build();
    actix::System::new().block_on(async {
        let main = Board::new("main", 100_000, 1).expect("a legal board");
        let node =
            Node::start(settings(), Arc::new(Nowhere(main)), Arc::default(), Arc::default()).await;
        let node = node.expect("it starts");
        node.set_talk(Arc::new(Deaf::default()));
        let worker = Worker::start(node.clone());
        let desk = worker.desk(node.main());
        // What the first one brings along is nobody's.
        let seats = Arc::<Seats>::default();
        let mut open = vec![connect(&desk, &seats, Some(1)).await];
        for group in 0..3 {
            join(&node, &open[0].1, Group::Team(group)).await;
        }
        let mut each = Vec::new();
        for is_user in [false, true] {
            open.reserve(CONNECTIONS as usize);
            let before = in_use();
            for number in 0..CONNECTIONS {
                let (client, link) = connect(&desk, &seats, is_user.then_some(number + 2)).await;
                if is_user {
                    let room = number % (CONNECTIONS / CROWD);
                    for group in [Group::Team(room), Group::Room(room), Group::Room(1000 + room)] {
                        join(&node, &link, group).await;
                    }
                }
                open.push((client, link));
            }
            each.push((in_use() - before) / CONNECTIONS as i64);
        }
        let [silent, user] = each[..] else { unreachable!("two kinds") };
        println!("a silent connection: {silent} bytes; a user's in three groups: {user}");
        assert!((500..=1700).contains(&silent), "a silent connection has {silent} bytes");
        assert!((silent..=2200).contains(&user), "a user's in three groups has {user} bytes");
    });
}
