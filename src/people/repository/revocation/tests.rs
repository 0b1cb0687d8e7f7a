//! Revocations on every database.

use std::collections::BTreeMap;

use super::*;
use crate::database::testing::Place;

crate::on_every_database! {
    an_epoch_is_raised_by_whatever_ends_all_cookies
    a_ban_holds_until_it_is_lifted
    readers_miss_no_row_while_many_nodes_revoke_at_once
    only_old_sign_ins_are_forgotten
}

fn somebody(number: u64) -> UserId {
    UserId::new(number).expect("a user id")
}

async fn all(database: &Database) -> Vec<Revoked> {
    revocations_after(database, 0, 10_000).await.expect("it is up")
}

async fn standing_of(database: &Database, user: UserId) -> Standing {
    let found = database
        .read::<_, Trouble, _>(async move |connection| Ok(standing(connection, user).await?))
        .await;
    found.expect("it is up")
}

async fn an_epoch_is_raised_by_whatever_ends_all_cookies(place: Place) {
    let database = place.open().await;
    // The largest id there is.
    let (one, other) = (somebody((1 << 63) - 1), somebody(7));
    assert_eq!(standing_of(&database, one).await, Standing::default());
    let revoke = async |user, what| revoke(&database, user, what, 5).await.expect("it is up");
    assert_eq!(revoke(one, Revocation::AllCookies).await.epoch, Some(1));
    assert_eq!(revoke(other, Revocation::AllCookies).await.epoch, Some(1), "each its own");
    let sign_in = revoke(one, Revocation::SignIn(u32::MAX)).await;
    assert_eq!((sign_in.epoch, sign_in.sign_in), (None, Some(u32::MAX)));
    assert_eq!(revoke(one, Revocation::Ban).await.epoch, Some(2));
    assert_eq!(standing_of(&database, one).await, Standing { epoch: 2, is_banned: true });
    assert_eq!(standing_of(&database, other).await, Standing { epoch: 1, is_banned: false });
    let rows = all(&database).await;
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(rows[2], sign_in);
    assert_eq!(revocations_after(&database, 1, 2).await.expect("it is up"), rows[1..3]);
    assert_eq!(revocations_after(&database, 4, 2).await.expect("it is up"), []);
}

async fn a_ban_holds_until_it_is_lifted(place: Place) {
    let database = place.open().await;
    let user = somebody(1);
    for (what, is_banned) in [
        (Revocation::Ban, true),
        (Revocation::AllCookies, true),
        (Revocation::SignIn(1), true),
        (Revocation::Unban, false),
        (Revocation::AllCookies, false),
        (Revocation::Ban, true),
    ] {
        revoke(&database, user, what, 5).await.expect("it is up");
        assert_eq!(standing_of(&database, user).await.is_banned, is_banned, "after {what:?}");
    }
}

/// Ids that a database gives by itself are seen out of order: whoever has read 7 never looks for 6 again.
async fn readers_miss_no_row_while_many_nodes_revoke_at_once(place: Place) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 25;
    let writers = (1..=WRITERS).map(|writer| {
        let url = place.url.clone();
        tokio::spawn(async move {
            // A node of its own.
            let target = crate::database::Target::parse(&url).expect("a URL of ours");
            let database = Database::open(target, 2).expect("a thread starts");
            database.ready(crate::database::testing::PATIENCE).await.expect("it is up");
            for _ in 0..EACH {
                let done = revoke(&database, somebody(writer), Revocation::AllCookies, 5).await;
                done.expect("it is up");
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let database = place.open().await;
    let (mut seen, mut last) = (Vec::new(), 0);
    loop {
        let is_over = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let found = revocations_after(&database, last, 1_000).await.expect("it is up");
        last = found.last().map_or(last, |row| row.sequence);
        seen.extend(found);
        if is_over {
            break;
        }
    }
    for writer in writers {
        writer.await.expect("it revoked all of its own");
    }
    let sequences: Vec<u64> = seen.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, (1..=WRITERS * EACH).collect::<Vec<_>>(), "in order, and none missed");
    let mut epochs: BTreeMap<UserId, Vec<u32>> = BTreeMap::new();
    for row in &seen {
        epochs.entry(row.user).or_default().extend(row.epoch);
    }
    let wanted: Vec<u32> = (1..=EACH as u32).collect();
    assert!(epochs.len() == WRITERS as usize && epochs.values().all(|found| *found == wanted));
}

async fn only_old_sign_ins_are_forgotten(place: Place) {
    let database = place.open().await;
    let user = somebody(3);
    for (what, at_ms) in [
        (Revocation::SignIn(1), 10),
        (Revocation::Ban, 10),
        (Revocation::SignIn(2), 20),
        (Revocation::AllCookies, 10),
    ] {
        revoke(&database, user, what, at_ms).await.expect("it is up");
    }
    assert_eq!(forget_sign_ins(&database, 20).await.expect("it is up"), 1);
    assert_eq!(forget_sign_ins(&database, 20).await.expect("it is up"), 0);
    let left = all(&database).await;
    assert_eq!(left.iter().map(|row| row.sequence).collect::<Vec<_>>(), [2, 3, 4]);
    let next = revoke(&database, user, Revocation::SignIn(3), 30).await.expect("it is up");
    assert_eq!(next.sequence, 5, "no number comes twice");
}
