//! kill -9 at random moments of a process that commits, over and over on the same file.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use super::*;

/// Committed before it is printed: one line per batch.
#[tokio::test]
async fn committer() {
    let Ok(folder) = std::env::var("STORE_COMMITTER") else { return };
    let board = small_board();
    let store = open(Path::new(&folder), &board).expect("a sound file");
    let mut random = Random::seeded();
    let mut known = contents(&store).await;
    let mut out = std::io::stdout();
    println!("ready");
    loop {
        let ids = random.ids(&board, 30);
        let new: Vec<_> = ids.iter().copied().filter(|id| known.insert(*id)).collect();
        check_ids(&store, &new).await.expect("the store is up");
        let line: Vec<String> = ids.iter().map(ToString::to_string).collect();
        writeln!(out, "ids {}", line.join(" ")).expect("the parent reads");
    }
}

/// The committing process, killed at the latest when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_kill_9() {
    let mut random = Random::seeded();
    let folder = folder();
    let board = small_board();
    let mut acknowledged = BTreeSet::new();
    for round in 0..8 {
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "store::embedded::tests::kill::committer", "--nocapture"])
            .env("STORE_COMMITTER", folder.0.path())
            .env("STORE_SEED", random.0.random::<u64>().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test runs");
        let mut child = Killed(child);
        let mut lines = BufReader::new(child.0.stdout.take().expect("piped")).lines();
        // Lines, not time, so that a slow machine does as much; the kill lands somewhere behind.
        let enough = 20 + random.below(150);
        for line in lines.by_ref().take(enough as usize) {
            acknowledge(&line.expect("text"), &board, &mut acknowledged);
        }
        std::thread::sleep(Duration::from_micros(u64::from(random.below(3_000))));
        child.0.kill().expect("it runs");
        child.0.wait().expect("it was started here");
        for line in lines.map_while(Result::ok) {
            acknowledge(&line, &board, &mut acknowledged);
        }
        let kept = stored_and_credited(folder.0.path(), &board).await.expect("a sound file");
        assert!(kept.is_superset(&acknowledged), "round {round} lost acknowledged checks");
        assert!(!acknowledged.is_empty());
    }
}

fn acknowledge(line: &str, board: &Board, acknowledged: &mut BTreeSet<BoxId>) {
    // The last line may be cut; a cut id is a shorter number, so only whole lines count.
    let Some(ids) = line.strip_prefix("ids ") else { return };
    let ids: Vec<_> = ids.split(' ').map(|id| id.parse().ok()).collect();
    if ids.len() == 30 {
        let whole = ids[..29].iter().copied().flatten();
        acknowledged.extend(whole.filter_map(|raw| board.box_id(raw)));
    }
}
