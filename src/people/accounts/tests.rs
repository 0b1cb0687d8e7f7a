//! Accounts on every database.

use sea_orm::{ActiveValue::Set, EntityTrait as _};

use super::*;
use crate::{
    database::{
        entities::{day_total, player},
        testing::Place,
    },
    people::{groups::Groups, model::NewReport, repository::number},
};

crate::on_every_database! {
    who_registers_keeps_the_identity_and_logs_in_elsewhere
    names_that_look_alike_are_one_account
    of_many_who_register_at_once_one_gets_the_name
    an_identity_becomes_one_account_however_many_register_with_it
    boxes_go_along_once_however_often_somebody_logs_in
    a_changed_password_ends_all_cookies
    guesses_are_slowed_down_and_right_passwords_are_not
    a_code_sets_a_new_password_once_and_within_its_hour
    a_deleted_account_leaves_nothing_but_its_checks
    who_is_banned_does_not_log_in_until_the_ban_is_lifted
    who_does_not_come_back_is_forgotten_unless_there_is_an_account
    who_comes_again_is_not_forgotten_and_is_written_once_a_day
}

const NOW_MS: u64 = 1_800_000_000_000;
const HORSE: &str = "correct horse";

async fn open(place: &Place) -> Accounts {
    // Not one for each: a hash takes 16 ms of a core, and all tests run at once.
    let passwords = Passwords::start().expect("threads start");
    Accounts::new(place.open().await, passwords)
}

fn visitor(identity: Option<UserId>) -> Visitor {
    Visitor { address: None, identity }
}

async fn log_in(
    accounts: &Accounts,
    name: &str,
    password: &str,
    identity: Option<UserId>,
) -> Result<SignedIn, AccountError> {
    accounts.log_in(&visitor(identity), name, password, NOW_MS).await
}

/// As the collector of credits would.
async fn credit(accounts: &Accounts, user: UserId, days: &[(i32, i64)]) {
    let days = days.to_vec();
    let written = accounts.database.write(async move |transaction: &DatabaseTransaction| {
        players::ensure(transaction, user, NOW_MS).await?;
        for (day, checks) in days.iter().copied() {
            let row = day_total::ActiveModel {
                player: Set(number(user)),
                day: Set(day),
                checks: Set(checks),
            };
            day_total::Entity::insert(row).exec_without_returning(transaction).await?;
        }
        let total = player::ActiveModel {
            id: Set(number(user)),
            total: Set(days.iter().map(|(_, checks)| checks).sum()),
            ..Default::default()
        };
        player::Entity::update(total).exec(transaction).await?;
        Ok(())
    });
    written.await.map_err(|error: Trouble| error).expect("it is up");
}

async fn total(accounts: &Accounts, user: UserId) -> i64 {
    let export = accounts.export(user).await.expect("it is up");
    let total = export.player.map_or(0, |player| player.total);
    assert_eq!(export.days.iter().map(|day| day.checks).sum::<i64>(), total, "day by day");
    total
}

async fn who_registers_keeps_the_identity_and_logs_in_elsewhere(place: Place) {
    let accounts = open(&place).await;
    let anonymous = user_by_chance();
    let made = accounts.register(Some(anonymous), "Jo Doe", HORSE, NOW_MS).await.expect("made");
    let wanted = SignedIn { user: anonymous, epoch: 0, name: "Jo Doe".to_owned(), has_moved: true };
    assert_eq!(made, wanted);
    let found = accounts.find(anonymous).await.expect("it is there");
    assert_eq!((found.name.as_str(), found.created_ms), ("Jo Doe", NOW_MS));
    let again = log_in(&accounts, "JO.DOE", HORSE, None).await.expect("the password is right");
    assert_eq!(again, SignedIn { has_moved: false, ..wanted });
    for (name, password) in [("Jo Doe", "wrong horse"), ("Jo", HORSE), ("", ""), ("Jo Doe", "")] {
        let refused = log_in(&accounts, name, password, None).await;
        assert!(matches!(refused, Err(AccountError::Wrong)), "{name}: {refused:?}");
    }
    // Without an identity there is a new one.
    let other = accounts.register(None, "Ann", HORSE, NOW_MS).await.expect("made");
    assert!(other.user != anonymous && !other.has_moved);
    let nobody = accounts.find(user_by_chance()).await;
    assert!(matches!(nobody, Err(AccountError::NoAccount)), "{nobody:?}");
}

async fn names_that_look_alike_are_one_account(place: Place) {
    let accounts = open(&place).await;
    let first = accounts.register(None, "Zoë", HORSE, NOW_MS).await.expect("made").user;
    let second = accounts.register(None, "Zoé", HORSE, NOW_MS).await.expect("another name").user;
    for taken in ["zoë", "ZOË", "Zoe\u{308}", "Z0ë"] {
        let refused = accounts.register(None, taken, HORSE, NOW_MS).await;
        assert!(matches!(refused, Err(AccountError::NameTaken)), "{taken}: {refused:?}");
        let refused = accounts.rename(second, taken, NOW_MS).await;
        assert!(matches!(refused, Err(AccountError::NameTaken)), "{taken}: {refused:?}");
    }
    accounts.rename(first, "ZOË", NOW_MS).await.expect("its own name");
    assert_eq!(accounts.find(first).await.expect("it is there").name, "ZOË");
    accounts.rename(first, "Zöe 🙂".trim_end_matches(" 🙂"), NOW_MS).await.expect("it is free");
    accounts.rename(second, "Zoë", NOW_MS).await.expect("it is free now");
    assert_eq!(log_in(&accounts, "zoë", HORSE, None).await.expect("right").user, second);
    assert!(matches!(
        accounts.rename(first, "\u{202E}x", NOW_MS).await,
        Err(AccountError::Name(_))
    ));
}

async fn of_many_who_register_at_once_one_gets_the_name(place: Place) {
    let accounts = open(&place).await;
    // Of several nodes.
    let other = open(&place).await;
    let names = ["Same", "same", "SAME", "Ѕаме", "5ame", "sam3"];
    let registering = names.iter().enumerate().map(|(at, name)| {
        let accounts = if at % 2 == 0 { &accounts } else { &other };
        accounts.register(None, name, HORSE, NOW_MS)
    });
    let done = futures_util::future::join_all(registering).await;
    let made = |done: &&Result<_, _>| done.is_ok();
    assert_eq!(done.iter().take(4).filter(made).count(), 1, "{done:?}");
    assert_eq!(done.iter().skip(4).filter(made).count(), 2, "{done:?}");
    let taken = |done: &&Result<_, _>| matches!(done, Err(AccountError::NameTaken));
    assert_eq!(done.iter().take(4).filter(taken).count(), 3, "{done:?}");
}

async fn an_identity_becomes_one_account_however_many_register_with_it(place: Place) {
    let accounts = open(&place).await;
    let other = open(&place).await;
    let anonymous = user_by_chance();
    credit(&accounts, anonymous, &[(20_000, 7)]).await;
    let names: Vec<String> = (0..6).map(|number| format!("player {number}")).collect();
    let registering = names.iter().enumerate().map(|(at, name)| {
        let accounts = if at % 2 == 0 { &accounts } else { &other };
        accounts.register(Some(anonymous), name, HORSE, NOW_MS)
    });
    let done = futures_util::future::join_all(registering).await;
    let made: Vec<SignedIn> = done.into_iter().map(|done| done.expect("each a name")).collect();
    let same = made.iter().filter(|made| made.user == anonymous);
    assert_eq!(same.count(), 1, "{made:?}");
    let mut totals = 0;
    for made in &made {
        assert_eq!(made.has_moved, made.user == anonymous);
        totals += total(&accounts, made.user).await;
    }
    assert_eq!(totals, 7, "nobody else has its boxes");
}

async fn boxes_go_along_once_however_often_somebody_logs_in(place: Place) {
    let accounts = open(&place).await;
    let [one, two] = ["one", "two"].map(ToOwned::to_owned);
    let first = accounts.register(None, &one, HORSE, NOW_MS).await.expect("made").user;
    let second = accounts.register(None, &two, HORSE, NOW_MS).await.expect("made").user;
    credit(&accounts, first, &[(20_000, 5), (20_001, 1)]).await;
    let anonymous = user_by_chance();
    credit(&accounts, anonymous, &[(19_999, 2), (20_001, 3), (20_005, 4)]).await;
    let identity = Some(anonymous);
    let racing = [&one, &two, &one, &two].map(|name| log_in(&accounts, name, HORSE, identity));
    let done = futures_util::future::join_all(racing).await;
    let moved = done.iter().map(|done| done.as_ref().expect("the password is right"));
    let moved: Vec<_> = moved.filter(|done| done.has_moved).map(|done| done.user).collect();
    let [to] = moved[..] else { panic!("once: {done:?}") };
    let (own, rest) = if to == first { (6, 0) } else { (0, 6) };
    assert_eq!(total(&accounts, to).await, own + 9);
    assert_eq!(total(&accounts, first).await + total(&accounts, second).await, own + rest + 9);
    assert_eq!(total(&accounts, anonymous).await, 0);
    let export = accounts.export(to).await.expect("it is up");
    assert_eq!(export.moved_from, [anonymous.to_string()]);
    let player = export.player.expect("it has checked");
    let best = if to == first { 3 } else { 1 };
    let found = (player.first_day, player.last_day, player.streak, player.best_streak);
    assert_eq!(found, (Some(19_999), Some(20_005), 1, best));
    // An account is no anonymous identity, and one that has moved does not become an account.
    let account = log_in(&accounts, &one, HORSE, Some(second)).await.expect("right");
    assert!(!account.has_moved);
    let late = accounts.register(identity, "late", HORSE, NOW_MS).await.expect("made");
    assert!(late.user != anonymous && !late.has_moved);
    let owner = accounts.database.read::<_, Trouble, _>(async move |connection| {
        Ok(player::Entity::find_by_id(number(anonymous)).one(connection).await?)
    });
    let row = owner.await.expect("it is up").expect("a row");
    assert_eq!(row.moved_to, Some(number(to)), "later credits go there");
}

async fn a_changed_password_ends_all_cookies(place: Place) {
    let accounts = open(&place).await;
    let user = accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made").user;
    let change =
        async |old, new| accounts.change_password(&visitor(None), user, old, new, NOW_MS).await;
    let wrong = change("wrong horse", "new password").await;
    assert!(matches!(wrong, Err(AccountError::Wrong)), "{wrong:?}");
    let short = change(HORSE, "short").await;
    assert!(matches!(short, Err(AccountError::Password(_))), "{short:?}");
    let revoked = change(HORSE, "new password").await.expect("the old one is right");
    assert_eq!((revoked.user, revoked.epoch), (user, Some(1)));
    assert!(matches!(log_in(&accounts, "Jo", HORSE, None).await, Err(AccountError::Wrong)));
    let now = log_in(&accounts, "Jo", "new password", None).await.expect("the new one is right");
    assert_eq!(now.epoch, 1);
    // Two at once with the same old one: the second has lost its password meanwhile.
    let both =
        tokio::join!(change("new password", "third one"), change("new password", "fourth one"));
    assert_eq!([&both.0, &both.1].iter().filter(|done| done.is_ok()).count(), 1, "{both:?}");
}

async fn guesses_are_slowed_down_and_right_passwords_are_not(place: Place) {
    let accounts = open(&place).await;
    accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made");
    for _ in 0..6 {
        log_in(&accounts, "Jo", HORSE, None).await.expect("the password is right");
    }
    for _ in 0..3 {
        let wrong = log_in(&accounts, "jo", "wrong horse", None).await;
        assert!(matches!(wrong, Err(AccountError::Wrong)), "{wrong:?}");
    }
    let soon = log_in(&accounts, "JO", HORSE, None).await;
    assert!(matches!(soon, Err(AccountError::TooSoon(wait)) if wait.as_secs() == 1), "{soon:?}");
    let later = accounts.log_in(&visitor(None), "Jo", HORSE, NOW_MS + 1000).await;
    later.expect("it has waited");
}

async fn a_code_sets_a_new_password_once_and_within_its_hour(place: Place) {
    let accounts = open(&place).await;
    let user = accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made").user;
    let nobody = reset_code(&accounts.database, "nobody", NOW_MS).await;
    assert!(matches!(nobody, Err(AccountError::NoAccount)), "{nobody:?}");
    let redeem = async |code: &str, password: &str, after_ms: u64| {
        let now_ms = NOW_MS + after_ms;
        accounts.redeem(&visitor(None), "jo", code, password, now_ms).await
    };
    let old = reset_code(&accounts.database, "Jo", NOW_MS).await.expect("there is one");
    let code = reset_code(&accounts.database, "Jo", NOW_MS).await.expect("there is one");
    assert_eq!((code.len(), code.matches('-').count()), (14, 2), "{code}");
    assert!(accounts.export(user).await.expect("it is up").has_reset_code);
    for (wrong, after_ms) in [(old.as_str(), 0), (&code, 3_600_000), ("", 3_600_000)] {
        let refused = redeem(wrong, "new password", after_ms).await;
        assert!(matches!(refused, Err(AccountError::Wrong)), "{refused:?}");
    }
    // As somebody types it.
    let typed = code.to_uppercase().replace('-', " ").replace('0', "O").replace('1', "l");
    let signed = redeem(&typed, "new password", 3_599_999).await.expect("it is good");
    assert_eq!((signed.user, signed.epoch), (user, 1), "other cookies are void");
    let twice = redeem(&code, "third password", 3_599_999).await;
    assert!(matches!(twice, Err(AccountError::Wrong)), "{twice:?}");
    let now = log_in(&accounts, "Jo", "new password", None).await;
    assert_eq!(now.expect("the new one is right").epoch, 1);
    // Guesses are slowed down here, too.
    let code = reset_code(&accounts.database, "Jo", NOW_MS).await.expect("there is one");
    for _ in 0..3 {
        redeem("0000-0000-0000", "new password", 0).await.expect_err("a guess");
    }
    let soon = redeem(&code, "new password", 0).await;
    assert!(matches!(soon, Err(AccountError::TooSoon(_))), "{soon:?}");
}

async fn a_deleted_account_leaves_nothing_but_its_checks(place: Place) {
    let accounts = open(&place).await;
    let groups = Groups::new(accounts.database.clone());
    let user = accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made").user;
    credit(&accounts, user, &[(20_000, 5)]).await;
    let team = groups.create_team(user, "Team", "#00ff00", NOW_MS).await.expect("made");
    groups.create_room(user, "Room", NOW_MS).await.expect("made");
    let report = NewReport { about: user_by_chance(), reason: "rude".into(), message: "[]".into() };
    groups.report(user, report, NOW_MS).await.expect("taken");
    let before = accounts.export(user).await.expect("it is up");
    let text = serde_json::to_string(&before).expect("plain data");
    for known in ["\"Jo\"", "\"Team\"", "\"Room\"", "rude", "20000"] {
        assert!(text.contains(known), "{known}: {text}");
    }
    assert!(!text.contains("argon2") && !text.contains(&team.invite), "{text}");
    let wrong = accounts.delete(&visitor(None), user, "wrong horse", NOW_MS).await;
    assert!(matches!(wrong, Err(AccountError::Wrong)), "{wrong:?}");
    let revoked = accounts.delete(&visitor(None), user, HORSE, NOW_MS).await.expect("right");
    assert_eq!(revoked.epoch, Some(1));
    let after = accounts.export(user).await.expect("it is up");
    assert_eq!(after.player.as_ref().map(|player| player.total), Some(5));
    assert!(after.name.is_none() && after.team.is_none() && after.rooms.is_empty());
    assert!(after.reports.is_empty());
    assert_eq!(groups.open_reports(10).await.expect("it is up").len(), 1, "operators still see it");
    assert!(matches!(log_in(&accounts, "Jo", HORSE, None).await, Err(AccountError::Wrong)));
    accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("the name is free");
}

async fn who_is_banned_does_not_log_in_until_the_ban_is_lifted(place: Place) {
    let accounts = open(&place).await;
    let anonymous = user_by_chance();
    let user = accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made").user;
    let banned = set_banned(&accounts.database, "jo", true, NOW_MS).await.expect("it is there");
    assert_eq!((banned.user, banned.banned, banned.epoch), (user, Some(true), Some(1)));
    credit(&accounts, anonymous, &[(20_000, 5)]).await;
    let refused = log_in(&accounts, "Jo", HORSE, Some(anonymous)).await;
    assert!(matches!(refused, Err(AccountError::Banned)), "{refused:?}");
    assert_eq!(total(&accounts, anonymous).await, 5, "nothing has moved");
    let guess = log_in(&accounts, "Jo", "wrong horse", None).await;
    assert!(matches!(guess, Err(AccountError::Wrong)), "not said to whoever guesses: {guess:?}");
    set_banned(&accounts.database, "jo", false, NOW_MS).await.expect("it is there");
    assert_eq!(log_in(&accounts, "Jo", HORSE, None).await.expect("readmitted").epoch, 1);
    let nobody = set_banned(&accounts.database, "nobody", true, NOW_MS).await;
    assert!(matches!(nobody, Err(AccountError::NoAccount)), "{nobody:?}");
}

async fn who_does_not_come_back_is_forgotten_unless_there_is_an_account(place: Place) {
    let accounts = open(&place).await;
    let [old, recent] = [user_by_chance(), user_by_chance()];
    let owner = accounts.register(None, "Jo", HORSE, NOW_MS).await.expect("made").user;
    for user in [old, recent, owner] {
        credit(&accounts, user, &[(20_000, 5)]).await;
    }
    let groups = Groups::new(accounts.database.clone());
    let team = groups.create_team(owner, "Team", "#00ff00", NOW_MS).await.expect("made");
    let room = groups.create_room(owner, "Room", NOW_MS).await.expect("made");
    groups.join_team(old, &team.invite, NOW_MS).await.expect("joined");
    groups.join_room(old, &room.invite, NOW_MS).await.expect("joined");
    groups.leave_team(owner).await.expect("it is up");
    let day_ms = 86_400_000;
    let row = player::ActiveModel {
        id: Set(number(recent)),
        seen_day: Set(day_of(NOW_MS) + 1),
        ..Default::default()
    };
    let seen = accounts.database.write(async move |transaction: &DatabaseTransaction| {
        player::Entity::update(row.clone()).exec(transaction).await?;
        Ok(())
    });
    seen.await.map_err(|error: Trouble| error).expect("it is up");
    let expire = async |after_days: u64| {
        accounts.expire_anonymous(30, NOW_MS + after_days * day_ms).await.expect("it is up")
    };
    assert_eq!(expire(30).await, 0, "30 days are not over");
    assert_eq!(expire(31).await, 1);
    assert_eq!(expire(31).await, 0);
    let mut left = Vec::new();
    for user in [old, recent, owner] {
        left.push(total(&accounts, user).await);
    }
    assert_eq!(left, [0, 5, 5]);
    let gone = groups.join_team(recent, &team.invite, NOW_MS).await;
    assert!(gone.is_err(), "the team has ended with its last member: {gone:?}");
    assert_eq!(groups.room_members(room.id).await.expect("it is up").len(), 1);
}

async fn who_comes_again_is_not_forgotten_and_is_written_once_a_day(place: Place) {
    let accounts = open(&place).await;
    let [known, unknown] = [user_by_chance(), user_by_chance()];
    credit(&accounts, known, &[(20_000, 5)]).await;
    let day_ms = 86_400_000;
    let unseen = async |user: UserId, after_days: i32| {
        let day = day_of(NOW_MS) + after_days;
        let look = async move |connection: &_| Ok(players::is_unseen(connection, user, day).await?);
        let is_unseen: Result<bool, Trouble> = accounts.database.read(look).await;
        is_unseen.expect("it is up")
    };
    assert!(!unseen(known, 0).await && unseen(known, 20).await);
    for user in [known, unknown] {
        accounts.see(user, NOW_MS + 20 * day_ms).await.expect("it is up");
    }
    assert!(!unseen(known, 20).await, "nothing to write for the rest of that day");
    assert!(unseen(known, 21).await && !unseen(unknown, 21).await, "no row is made");
    accounts.see(known, NOW_MS).await.expect("it is up");
    assert!(!unseen(known, 20).await, "a node whose clock is late lowers nothing");
    for (after_days, forgotten) in [(50, 0), (51, 1)] {
        let expired = accounts.expire_anonymous(30, NOW_MS + after_days * day_ms).await;
        assert_eq!(expired.expect("it is up"), forgotten);
    }
}
