//! Teams, rooms and reports on every database.

use super::*;
use crate::{
    database::testing::Place,
    people::{model::user_by_chance, repository::players},
};

crate::on_every_database! {
    who_has_the_invite_joins_one_team
    only_the_maker_changes_a_team
    a_team_passes_on_and_ends_with_its_last_member
    a_room_holds_what_it_may_however_many_come_at_once
    nobody_is_in_more_rooms_than_allowed
    reports_wait_until_an_operator_closes_them
}

const NOW_MS: u64 = 1_800_000_000_000;
const GREEN: &str = "#00ff00";

/// With accounts of these names; hashing is no concern of groups.
async fn open(place: &Place, names: &[&str]) -> (Groups, Vec<UserId>) {
    let database = place.open().await;
    let mut users = Vec::new();
    for name in names {
        let (user, name) = (user_by_chance(), Name::parse(name).expect("a name"));
        let made = database.write(async move |transaction: &DatabaseTransaction| {
            players::ensure(transaction, user, NOW_MS).await?;
            Ok(accounts::insert(transaction, user, &name, "no hash", NOW_MS).await?)
        });
        made.await.map_err(|error: Trouble| error).expect("made");
        users.push(user);
    }
    (Groups::new(database), users)
}

async fn who_has_the_invite_joins_one_team(place: Place) {
    let (groups, users) = open(&place, &["Ann", "Bob"]).await;
    let [ann, bob, anonymous] = [users[0], users[1], user_by_chance()];
    let refused = groups.create_team(anonymous, "Reds", GREEN, NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::NoAccount)), "{refused:?}");
    let red = groups.create_team(ann, "Reds", "#FF0000", NOW_MS).await.expect("made");
    assert_eq!((red.colour.as_str(), red.invite.len(), red.maker), ("#ff0000", 22, Some(ann)));
    for (maker, name, colour) in [(bob, "REDS", GREEN), (bob, "x", GREEN), (bob, "ok", "green")] {
        groups.create_team(maker, name, colour, NOW_MS).await.expect_err(name);
    }
    let twice = groups.create_team(ann, "Blues", GREEN, NOW_MS).await;
    assert!(matches!(twice, Err(GroupError::InTeam)), "{twice:?}");
    let blue = groups.create_team(bob, "Blues", GREEN, NOW_MS).await.expect("made");
    for _ in 0..2 {
        let joined = groups.join_team(anonymous, &red.invite, NOW_MS + 1).await.expect("in time");
        assert_eq!(joined, red);
    }
    let other = groups.join_team(anonymous, &blue.invite, NOW_MS).await;
    assert!(matches!(other, Err(GroupError::InTeam)), "{other:?}");
    for wrong in ["", "x", &red.invite.to_ascii_lowercase(), &format!("{} ", red.invite)] {
        let refused = groups.join_team(user_by_chance(), wrong, NOW_MS).await;
        assert!(matches!(refused, Err(GroupError::Unknown)), "{wrong}: {refused:?}");
    }
    let members = groups.team_members(red.id, 10).await.expect("it is up");
    let named = |user, name: Option<&str>, since_ms| Member {
        user,
        name: name.map(ToOwned::to_owned),
        since_ms,
    };
    let wanted = [named(ann, Some("Ann"), NOW_MS), named(anonymous, None, NOW_MS + 1)];
    assert_eq!(members, wanted);
    groups.leave_team(anonymous).await.expect("it is up");
    groups.join_team(anonymous, &blue.invite, NOW_MS).await.expect("it has left the other");
    assert_eq!(groups.team_of(anonymous).await.expect("it is up"), Some(blue));
}

async fn only_the_maker_changes_a_team(place: Place) {
    let (groups, users) = open(&place, &["Ann", "Bob"]).await;
    let [ann, bob] = [users[0], users[1]];
    let team = groups.create_team(ann, "Reds", GREEN, NOW_MS).await.expect("made");
    groups.join_team(bob, &team.invite, NOW_MS).await.expect("joined");
    let refused = groups.change_team(bob, team.id, "Mine", GREEN).await;
    assert!(matches!(refused, Err(GroupError::NotMaker)), "{refused:?}");
    let refused = groups.renew_invite(bob, team.id).await;
    assert!(matches!(refused, Err(GroupError::NotMaker)), "{refused:?}");
    let unknown = groups.change_team(ann, GroupId::by_chance(), "Mine", GREEN).await;
    assert!(matches!(unknown, Err(GroupError::Unknown)), "{unknown:?}");
    groups.change_team(ann, team.id, "REDS", "#123456").await.expect("its own name");
    let renewed = groups.renew_invite(ann, team.id).await.expect("hers");
    assert_eq!((renewed.name.as_str(), renewed.colour.as_str()), ("REDS", "#123456"));
    let old = groups.join_team(user_by_chance(), &team.invite, NOW_MS).await;
    assert!(matches!(old, Err(GroupError::Unknown)), "{old:?}");
    groups.join_team(user_by_chance(), &renewed.invite, NOW_MS).await.expect("the new one");
    let other = user_by_chance();
    let (again, more) = open(&place, &["Cid"]).await;
    again.create_team(more[0], "Blues", GREEN, NOW_MS).await.expect("made");
    let taken = again.change_team(more[0], team.id, "Reds", GREEN).await;
    assert!(matches!(taken, Err(GroupError::NotMaker)), "{taken:?}");
    let taken = groups.change_team(ann, team.id, "B1ues", GREEN).await;
    assert!(matches!(taken, Err(GroupError::NameTaken)), "{taken:?}");
    assert_eq!(groups.team_of(other).await.expect("it is up"), None);
}

async fn a_team_passes_on_and_ends_with_its_last_member(place: Place) {
    let (groups, users) = open(&place, &["Ann", "Bob", "Cid"]).await;
    let team = groups.create_team(users[0], "Reds", GREEN, NOW_MS).await.expect("made");
    for (at, user) in (1..).zip(&users[1..]) {
        groups.join_team(*user, &team.invite, NOW_MS + at).await.expect("joined");
    }
    groups.leave_team(users[0]).await.expect("it is up");
    let now = groups.team_of(users[2]).await.expect("it is up").expect("still there");
    assert_eq!(now.maker, Some(users[1]), "of longest standing");
    // All at once, as somebody joins.
    let late = user_by_chance();
    let all = tokio::join!(
        groups.leave_team(users[1]),
        groups.leave_team(users[2]),
        groups.join_team(late, &team.invite, NOW_MS),
    );
    assert!(all.0.is_ok() && all.1.is_ok(), "{all:?}");
    match all.2 {
        Ok(_) => {
            let own = groups.team_of(late).await.expect("it is up").expect("it is in");
            assert_eq!(own.maker, Some(late), "nobody else is left");
            groups.leave_team(late).await.expect("it is up");
        }
        Err(error) => assert!(matches!(error, GroupError::Unknown), "{error:?}"),
    }
    groups.create_team(users[0], "reds", GREEN, NOW_MS).await.expect("the name is free");
}

async fn a_room_holds_what_it_may_however_many_come_at_once(place: Place) {
    let (groups, users) = open(&place, &["Ann"]).await;
    let refused = groups.create_room(user_by_chance(), "Den", NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::NoAccount)), "{refused:?}");
    let room = groups.create_room(users[0], "Den", NOW_MS).await.expect("made");
    // All but five places are taken; by rows, as 494 who join take their time.
    let id = room.id;
    let filled = groups.0.write(async move |transaction: &DatabaseTransaction| {
        for _ in 0..ROOM_MEMBERS_MAX - 6 {
            rooms::add(transaction, id, user_by_chance(), NOW_MS).await?;
        }
        Ok(())
    });
    filled.await.map_err(|error: Trouble| error).expect("it is up");
    let join = (0..12).map(|_| groups.join_room(user_by_chance(), &room.invite, NOW_MS));
    let done = futures_util::future::join_all(join).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 5, "{done:?}");
    let full = |done: &&Result<_, _>| matches!(done, Err(GroupError::Full));
    assert_eq!(done.iter().filter(full).count(), 7, "{done:?}");
    let members = groups.room_members(room.id).await.expect("it is up");
    assert_eq!(members.len() as u64, ROOM_MEMBERS_MAX);
    let put = groups.add_to_room(user_by_chance(), room.id, NOW_MS).await;
    assert!(matches!(put, Err(GroupError::Full)), "whoever puts somebody in: {put:?}");
    groups.join_room(users[0], &room.invite, NOW_MS).await.expect("who is in stays in");
    groups.add_to_room(users[0], room.id, NOW_MS).await.expect("likewise");
    groups.leave_room(users[0], room.id).await.expect("it was in");
    let twice = groups.leave_room(users[0], room.id).await;
    assert!(matches!(twice, Err(GroupError::Unknown)), "{twice:?}");
    groups.join_room(users[0], &room.invite, NOW_MS).await.expect("there is a place");
}

async fn nobody_is_in_more_rooms_than_allowed(place: Place) {
    let (groups, users) = open(&place, &["Ann", "Bob"]).await;
    let [ann, bob] = [users[0], users[1]];
    let hers = groups.create_room(ann, "Hers", NOW_MS).await.expect("made");
    let names: Vec<String> = (0..ROOMS_MAX + 3).map(|number| format!("room {number}")).collect();
    let making = names.iter().map(|name| groups.create_room(bob, name, NOW_MS));
    let done = futures_util::future::join_all(making).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), ROOMS_MAX, "{done:?}");
    let refused = groups.join_room(bob, &hers.invite, NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::TooManyRooms)), "{refused:?}");
    let refused = groups.add_to_room(bob, hers.id, NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::TooManyRooms)), "{refused:?}");
    let rooms = groups.rooms_of(bob).await.expect("it is up");
    assert_eq!(rooms.len(), ROOMS_MAX);
    groups.leave_room(bob, rooms[0].id).await.expect("it was in");
    groups.add_to_room(bob, hers.id, NOW_MS).await.expect("there is a place");
    assert_eq!(groups.room(hers.id).await.expect("it is up"), Some(hers));
    let gone = groups.add_to_room(ann, rooms[0].id, NOW_MS).await;
    assert!(matches!(gone, Err(GroupError::Unknown)), "{gone:?}");
    assert_eq!(groups.room(rooms[0].id).await.expect("it is up"), None);
    let gone = groups.join_room(ann, &rooms[0].invite, NOW_MS).await;
    assert!(matches!(gone, Err(GroupError::Unknown)), "it ended with its last member: {gone:?}");
}

async fn reports_wait_until_an_operator_closes_them(place: Place) {
    let (groups, users) = open(&place, &["Ann"]).await;
    let report = |reason: &str| NewReport {
        about: users[0],
        reason: reason.to_owned(),
        message: "[{\"text\":\"ж\"}]".to_owned(),
    };
    let reporter = user_by_chance();
    let long = "x".repeat(REASON_BYTES_MAX + 1);
    let refused = groups.report(reporter, report(&long), NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::TooLong)), "{refused:?}");
    let first = groups.report(reporter, report("rude"), NOW_MS).await.expect("taken");
    for number in 1..REPORTS_MAX {
        groups.report(reporter, report(&long[1..]), NOW_MS + number).await.expect("taken");
    }
    let refused = groups.report(reporter, report("rude"), NOW_MS).await;
    assert!(matches!(refused, Err(GroupError::TooManyReports)), "{refused:?}");
    let open = groups.open_reports(5).await.expect("it is up");
    assert_eq!(open.len(), 5);
    let wanted =
        Report { id: first, reporter: Some(reporter), what: report("rude"), at_ms: NOW_MS };
    assert_eq!(open[0], wanted);
    groups.close_report(first, "alice", NOW_MS + 100).await.expect("it was open");
    let twice = groups.close_report(first, "bob", NOW_MS + 100).await;
    assert!(matches!(twice, Err(GroupError::Unknown)), "{twice:?}");
    assert_ne!(groups.open_reports(5).await.expect("it is up")[0].id, first);
    assert_eq!(groups.forget_reports(NOW_MS + 100).await.expect("it is up"), 0);
    assert_eq!(groups.forget_reports(NOW_MS + 101).await.expect("it is up"), 1);
}
