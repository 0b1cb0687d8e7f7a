//! What only this store has to do for credits: to find out which refused boxes had reached the disk, and to get along with
//! files of programs that know of none.

use std::fs;

use actors::store::{
    StoreState,
    credits::{CreditCursor, CreditRange, Credits as _},
};

use super::{
    super::{checkpoint::Step, disk::Disk, worker::Job},
    *,
};

const SOON: Duration = Duration::from_secs(5);

fn ids<const N: usize>(board: &Board, raw: [u32; N]) -> [BoxId; N] {
    raw.map(|raw| board.box_id(raw).expect("on the board"))
}

/// A commit is refused because the disk failed, yet it is there at the return. Its player asks again before the shard has
/// learned that, together with somebody who has not asked before.
#[tokio::test]
async fn what_was_refused_and_reached_the_disk_is_not_credited_again() {
    let (folder, board) = (folder(), small_board());
    // Nothing moves into the chunks.
    let large_log = Options::new(folder.0.path(), board.clone());
    let store = EmbeddedStore::open(large_log).expect("an empty folder");
    let learned = Arc::new(Learned::default());
    store.feed(Arc::clone(&learned) as Arc<dyn Feed>);
    let [first, second, third, fourth] = ids(&board, [1, 2, 600_001, 3]);
    for id in [first, second, third] {
        check_ids(&store, &[id]).await.expect("the store is up");
    }
    // As if the two last had been refused.
    store.jobs.send(Job::Fail { acknowledged: 1 }).await.expect("the thread runs");
    until("down", SOON, || store.state() != StoreState::Up).await;
    check_ids(&store, &[fourth]).await.expect_err("down");
    until("up again", SOON, || store.state() == StoreState::Up).await;
    assert_eq!(learned.ids(&board), BTreeSet::from([second, third]));
    check_ids(&store, &[second, third, fourth]).await.expect("up again");
    store.close().await.expect("all is saved");
    let kept = stored_and_credited(folder.0.path(), &board).await.expect("a sound file");
    assert_eq!(kept, BTreeSet::from([first, second, third, fourth]));
}

#[tokio::test]
async fn counters_of_a_refused_commit_are_named_as_changed() {
    let (folder, board) = (folder(), small_board());
    let store = open(folder.0.path(), &board).expect("an empty folder");
    let [id] = ids(&board, [5]);
    store.jobs.send(Job::Fail { acknowledged: 0 }).await.expect("the thread runs");
    until("down", SOON, || store.state() != StoreState::Up).await;
    until("up again", SOON, || store.state() == StoreState::Up).await;
    // Refused, because of what became of the file while it was written; all of it is there in the copy.
    let file = folder.0.path().join("small.redb");
    let meddle = Box::new(move || fs::remove_file(file).expect("it is there"));
    store.jobs.send(Job::Meddle(meddle)).await.expect("the thread runs");
    check_ids(&store, &[id]).await.expect_err("the file is gone");
    let changed: Vec<_> = store.changed_credits().keys.into_iter().collect();
    let [(range, key)] = changed[..] else { panic!("{changed:?}") };
    assert_eq!((range, Some(key.user)), (CreditRange(0), user_of(id)));
    store.credits(range, vec![key]).await.expect_err("down");
    until("up again", Duration::from_secs(20), || store.state() == StoreState::Up).await;
    assert_eq!(store.credits(range, vec![key]).await.expect("up again"), [1]);
    store.close().await.expect("all is saved");
}

/// As an older program leaves it, which has boxes and seal, and neither table nor seal of credits.
#[tokio::test]
async fn a_file_of_a_program_that_knows_no_credits_is_gone_on_with() {
    let (folder, board) = (folder(), small_board());
    let old = ids(&board, [9, 18, 27]);
    let store = open(folder.0.path(), &board).expect("an empty folder");
    commit_ids(&store, &old).await.expect("the store is up");
    store.close().await.expect("all is saved");
    let file = folder.0.path().join("small.redb");
    let tables = |file: &Path| {
        let database = redb::Database::open(file).expect("a sound file");
        let txn = redb::ReadableDatabase::begin_read(&database).expect("readable");
        let tables = txn.list_tables().expect("readable");
        tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tables(&file), ["chunks", "log", "meta"], "nobody's checks make no table");
    let store = open(folder.0.path(), &board).expect("a sound file");
    let page = store.all_credits(CreditRange(0), CreditCursor::default()).await;
    assert_eq!(page.expect("the store is up").counted, []);
    check_ids(&store, &ids(&board, [1, 2, 3])).await.expect("the store is up");
    store.close().await.expect("all is saved");
    assert_eq!(tables(&file), ["chunks", "credits", "log", "meta"]);
    stored_and_credited(folder.0.path(), &board).await.expect("boxes 9, 18 and 27 are nobody's");
    // And back: an older program writes log, chunks and their seal, and leaves the rest alone.
    let mut disk = Disk::open(&file, &board, &mut |_, _| ()).expect("a sound file");
    disk.commit(&[35], &Step::default()).expect("room");
    disk.close();
    let kept = stored_and_credited(folder.0.path(), &board).await.expect("box 36 is nobody's");
    assert_eq!(kept.len(), 7);
}

/// A table that was emptied through the engine, a counter that vanished, an older value, and a seal that is gone.
#[tokio::test]
async fn credits_that_are_not_what_was_stored_are_refused() {
    type Table<'t> = redb::Table<'t, (u32, u64), [u8; 12]>;
    let (folder, board) = (folder(), small_board());
    let store = open(folder.0.path(), &board).expect("an empty folder");
    check_ids(&store, &ids(&board, [1, 2, 3])).await.expect("the store is up");
    store.close().await.expect("all is saved");
    let file = folder.0.path().join("small.redb");
    let before = fs::read(&file).expect("a file");
    let store = open(folder.0.path(), &board).expect("a sound file");
    check_ids(&store, &ids(&board, [10])).await.expect("the store is up");
    store.close().await.expect("all is saved");
    let sound = fs::read(&file).expect("a file");
    let value_of = |content: &[u8]| {
        fs::write(&file, content).expect("room");
        let database = redb::Database::open(&file).expect("a sound file");
        let txn = database.begin_write().expect("nobody else writes");
        let table: Table<'_> = txn.open_table(redb::TableDefinition::new("credits")).expect("ours");
        let (key, value) =
            redb::ReadableTable::first(&table).expect("readable").expect("there are credits");
        (key.value(), value.value())
    };
    let (key, older) = value_of(&before);
    let (same, newer) = value_of(&sound);
    assert!(key == same && older != newer);
    type Change<'c> = (&'c str, &'c dyn Fn(&mut Table<'_>));
    let changes: [Change<'_>; 3] = [
        ("emptied", &|table| table.retain(|_, _| false).expect("writable")),
        ("one less", &|table| _ = table.remove(key).expect("writable")),
        ("an older value", &|table| _ = table.insert(key, older).expect("writable")),
    ];
    for (what, change) in changes {
        fs::write(&file, &sound).expect("room");
        let database = redb::Database::open(&file).expect("a sound file");
        let txn = database.begin_write().expect("nobody else writes");
        change(&mut txn.open_table(redb::TableDefinition::new("credits")).expect("ours"));
        txn.commit().expect("room");
        drop(database);
        let text = refusal(folder.0.path(), &board);
        assert!(text.contains("credits are missing or out of date"), "{what}: {text}");
    }
    fs::write(&file, &sound).expect("room");
    let database = redb::Database::open(&file).expect("a sound file");
    let txn = database.begin_write().expect("nobody else writes");
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    _ = txn.open_table(meta).expect("ours").remove("credits").expect("writable");
    txn.commit().expect("room");
    drop(database);
    let text = refusal(folder.0.path(), &board);
    assert!(text.contains("credits are missing"), "{text}");
}
