//! A round of upkeep on every database.

use sea_orm::DatabaseTransaction;

use super::*;
use crate::{
    database::{Trouble, testing::Place},
    people::{
        model::{NewReport, user_by_chance},
        passwords::Passwords,
        repository::players::{EXPIRE_BATCH, ensure},
    },
};

crate::on_every_database! {
    a_round_forgets_all_that_is_due_however_much_and_nothing_else
}

const NOW_MS: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

async fn a_round_forgets_all_that_is_due_however_much_and_nothing_else(place: Place) {
    let database = place.open().await;
    let accounts = Accounts::new(database.clone(), Passwords::start().expect("threads start"));
    let groups = Groups::new(database.clone());
    // More than one batch, and one that came a day later.
    let many = EXPIRE_BATCH + 1;
    let written = database.write(async move |transaction: &DatabaseTransaction| {
        for _ in 0..many {
            ensure(transaction, user_by_chance(), NOW_MS).await?;
        }
        ensure(transaction, user_by_chance(), NOW_MS + DAY_MS).await?;
        Ok(())
    });
    written.await.map_err(|error: Trouble| error).expect("it is up");
    let jo = accounts.register(None, "Jo", "correct horse", NOW_MS).await.expect("made").user;
    let report = |reason: &str| NewReport {
        about: user_by_chance(),
        reason: reason.to_owned(),
        message: "[]".to_owned(),
    };
    let closed = groups.report(jo, report("rude"), NOW_MS).await.expect("taken");
    groups.report(jo, report("loud"), NOW_MS).await.expect("taken");
    groups.close_report(closed, "alice", NOW_MS).await.expect("it was open");
    let round = async |after_ms: u64| {
        let forgotten = forget(&accounts, &groups, 30, NOW_MS + after_ms).await.expect("it is up");
        (forgotten.players, forgotten.reports)
    };
    assert_eq!(round(30 * DAY_MS).await, (0, 0));
    assert_eq!(round(31 * DAY_MS).await, (many, 0));
    assert_eq!(round(90 * DAY_MS).await, (1, 0));
    assert_eq!(round(90 * DAY_MS + 1).await, (0, 1));
    assert_eq!(round(400 * DAY_MS).await, (0, 0), "an account and an open report stay");
    assert_eq!(groups.open_reports(5).await.expect("it is up").len(), 1);
}
