//! What a board in play costs beside the first: memory by an allocator that counts, and threads. Alone in its
//! process, so that nothing else is counted.

mod nowhere;

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{board::Board, node::Node, protocol::Close, rules::Free, worker::Worker};

use self::nowhere::{Nowhere, settings};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("Linux").count()
}

/// A sale's size: a box for each unit of its stock.
const BOXES: u32 = 10_000;

/// Boards that are open at the same time.
const OPEN: i64 = 10;

/// Boards that come and go.
const CLOSED: i64 = 100;

/// Opens a board, as its first player makes a thread do.
async fn open(worker: &Rc<Worker>, name: &str) {
    let board = Board::new(name, BOXES, 1).expect("a legal board");
    let opened = worker.node.open(Arc::new(Nowhere(board)), Arc::new(Free)).await;
    worker.desk(&opened.expect("it opens"));
}

async fn close(worker: &Worker, name: &str) {
    assert!(worker.node.close(name, Close::GOING_AWAY).await.expect("nothing is lost"));
}

/// Bytes that are in use now.
fn in_use() -> i64 {
    dhat::HeapStats::get().curr_bytes as i64
}

/// Waits until at most so many bytes are in use: threads give back in their own time.
async fn comes_down_to(bytes: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while in_use() > bytes {
        assert!(Instant::now() < deadline, "{} bytes more stay in use", in_use() - bytes);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_further_board_adds_no_thread_and_at_most_a_megabyte_and_a_closed_one_nothing() {
    let _counting = dhat::Profiler::builder().testing().build();
    actix::System::new().block_on(async {
        let main = Board::new("main", BOXES, 1).expect("a legal board");
        let node =
            Node::start(settings(), Arc::new(Nowhere(main)), Arc::default(), Arc::default()).await;
        let worker = Worker::start(node.expect("it starts"));
        worker.desk(worker.node.main());
        let (alone, alone_threads) = (in_use(), threads());
        for number in 0..OPEN {
            open(&worker, &format!("sale-{number}")).await;
        }
        let each = (in_use() - alone) / OPEN;
        println!("a board: {each} bytes");
        // Not less than its bits.
        assert!((i64::from(BOXES / 8)..=1_000_000).contains(&each), "a board has {each} bytes");
        assert_eq!(threads(), alone_threads);
        for number in 0..OPEN {
            close(&worker, &format!("sale-{number}")).await;
        }
        for number in 0..CLOSED {
            let name = format!("later-{number}");
            open(&worker, &name).await;
            close(&worker, &name).await;
        }
        // Lists keep the room that they had at their longest: 15 kB for ten boards, or one and a half boards.
        comes_down_to(alone + CLOSED * 200).await;
        assert_eq!(threads(), alone_threads);
    });
}
