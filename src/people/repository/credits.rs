//! Rows of credits and the totals made from them. One transaction of one node after the other, so that a counter which two
//! nodes hand over at once is added once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::OnConflict,
};

use super::{next, number, players::newcomer};
use crate::{
    database::entities::{account, credit, day_total, player, team, team_day_total, team_member},
    people::{
        credits::Credit,
        model::{Leaderboard, Ranked, Streak},
    },
};

/// The counter whose row all transactions of credits pass, one after the other.
const COUNTER: &str = "credit";

/// Rows of one statement: below what any of the databases takes of parameters, 500 × 9.
const ROWS: usize = 500;

/// Writes down credits of a board, the greater number of two, and adds what is new of them to all totals; returns how many
/// checks that was.
///
/// # Errors
/// What the database says.
pub async fn take(
    transaction: &DatabaseTransaction,
    board: &str,
    credits: &[Credit],
    now_ms: u64,
) -> Result<i64, DbErr> {
    next(transaction, COUNTER).await?;
    let fresh = write(transaction, board, credits).await?;
    if fresh.is_empty() {
        return Ok(0);
    }
    let owners = owners(transaction, fresh.keys().map(|(player, _)| *player), now_ms).await?;
    let mut days: BTreeMap<(i64, i32), i64> = BTreeMap::new();
    for ((player, day), checks) in &fresh {
        *days.entry((owners[player], *day)).or_default() += checks;
    }
    add_to_days(transaction, &days).await?;
    add_to_players(transaction, &days).await?;
    add_to_teams(transaction, &days).await?;
    Ok(fresh.values().sum())
}

/// Writes the counters that have grown; by player and day, how much.
async fn write(
    transaction: &DatabaseTransaction,
    board: &str,
    credits: &[Credit],
) -> Result<BTreeMap<(i64, i32), i64>, DbErr> {
    let mut groups: BTreeMap<(i64, i32), BTreeMap<i64, i64>> = BTreeMap::new();
    for credit in credits {
        // Both are of 32 bits at most, and a board has fewer boxes than that.
        let day = i32::try_from(credit.day.0).unwrap_or(i32::MAX);
        let group = groups.entry((i64::from(credit.range.0), day)).or_default();
        let known = group.entry(number(credit.user)).or_default();
        *known = credit.count.cast_signed().max(*known);
    }
    let (mut grown, mut rows) = (BTreeMap::new(), Vec::new());
    for ((range, day), players) in groups {
        let found = credit::Entity::find()
            .filter(credit::Column::Board.eq(board))
            .filter(credit::Column::KeyRange.eq(range))
            .filter(credit::Column::Day.eq(day))
            .filter(credit::Column::Player.is_in(players.keys().copied()))
            .all(transaction)
            .await?;
        let found: HashMap<i64, i64> = found.iter().map(|row| (row.player, row.checks)).collect();
        for (player, checks) in players {
            let more = checks - found.get(&player).copied().unwrap_or_default();
            if more > 0 {
                *grown.entry((player, day)).or_default() += more;
                let board = board.to_owned();
                let row = credit::Model { board, key_range: range, player, day, checks };
                rows.push(row.into_active_model().reset_all());
            }
        }
    }
    let keys = [
        credit::Column::Board,
        credit::Column::KeyRange,
        credit::Column::Player,
        credit::Column::Day,
    ];
    let greater = OnConflict::columns(keys).update_column(credit::Column::Checks).to_owned();
    for rows in rows.chunks(ROWS) {
        credit::Entity::insert_many(rows.to_vec())
            .on_conflict(greater.clone())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(grown)
}

/// To whom the credits of players go: themselves, or the accounts that they have moved to. All of their rows are there, and
/// no other transaction changes them before this one ends.
async fn owners(
    transaction: &DatabaseTransaction,
    players: impl Iterator<Item = i64>,
    now_ms: u64,
) -> Result<HashMap<i64, i64>, DbErr> {
    let players: BTreeSet<i64> = players.collect();
    let found = lock(transaction, &players).await?;
    let known: BTreeSet<i64> = found.iter().map(|row| row.id).collect();
    let missing: Vec<_> = players
        .difference(&known)
        .map(|id| newcomer(*id, now_ms).into_active_model().reset_all())
        .collect();
    for rows in missing.chunks(ROWS) {
        player::Entity::insert_many(rows.to_vec()).exec_without_returning(transaction).await?;
    }
    let moved: BTreeSet<i64> = found.iter().filter_map(|row| row.moved_to).collect();
    lock(transaction, &moved).await?;
    let mut owners: HashMap<i64, i64> = players.iter().map(|id| (*id, *id)).collect();
    owners.extend(found.iter().filter_map(|row| Some((row.id, row.moved_to?))));
    Ok(owners)
}

async fn lock(
    transaction: &DatabaseTransaction,
    players: &BTreeSet<i64>,
) -> Result<Vec<player::Model>, DbErr> {
    player::Entity::find()
        .filter(player::Column::Id.is_in(players.iter().copied()))
        .order_by_asc(player::Column::Id)
        .lock_exclusive()
        .all(transaction)
        .await
}

async fn add_to_days(
    transaction: &DatabaseTransaction,
    days: &BTreeMap<(i64, i32), i64>,
) -> Result<(), DbErr> {
    use day_total::{Column, Entity, Model};
    let found = Entity::find()
        .filter(Column::Player.is_in(days.keys().map(|(player, _)| *player)))
        .filter(Column::Day.is_in(days.keys().map(|(_, day)| *day)))
        .all(transaction)
        .await?;
    let found: HashMap<_, _> =
        found.iter().map(|row| ((row.player, row.day), row.checks)).collect();
    let rows = days.iter().map(|((player, day), more)| {
        let before = found.get(&(*player, *day)).copied().unwrap_or_default();
        let row = Model { player: *player, day: *day, checks: before + more };
        row.into_active_model().reset_all()
    });
    let rows: Vec<_> = rows.collect();
    let keys = [Column::Player, Column::Day];
    let sum = OnConflict::columns(keys).update_column(Column::Checks).to_owned();
    for rows in rows.chunks(ROWS) {
        Entity::insert_many(rows.to_vec())
            .on_conflict(sum.clone())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// Raises totals and goes on with streaks, after the days have been raised.
async fn add_to_players(
    transaction: &DatabaseTransaction,
    days: &BTreeMap<(i64, i32), i64>,
) -> Result<(), DbErr> {
    let mut of_player: BTreeMap<i64, (i64, BTreeSet<i32>)> = BTreeMap::new();
    for ((player, day), more) in days {
        let (total, of) = of_player.entry(*player).or_default();
        *total += more;
        of.insert(*day);
    }
    let rows = lock(transaction, &of_player.keys().copied().collect()).await?;
    let mut raised = Vec::new();
    for row in rows {
        let (more, days) = &of_player[&row.id];
        let streak = streak(transaction, &row, days).await?;
        raised.push(player::ActiveModel {
            id: Set(row.id),
            created_ms: Set(row.created_ms),
            seen_day: Set(days.last().map_or(row.seen_day, |last| row.seen_day.max(*last))),
            total: Set(row.total + more),
            first_day: Set(streak.first),
            last_day: Set(streak.last),
            streak: Set(streak.current),
            best_streak: Set(streak.best.max(row.best_streak)),
            moved_to: NotSet,
        });
    }
    use player::Column;
    let changed = OnConflict::column(Column::Id)
        .update_columns([
            Column::SeenDay,
            Column::Total,
            Column::FirstDay,
            Column::LastDay,
            Column::Streak,
            Column::BestStreak,
        ])
        .to_owned();
    for rows in raised.chunks(ROWS) {
        player::Entity::insert_many(rows.to_vec())
            .on_conflict(changed.clone())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// The streak of a player who has checked on `days`, too.
async fn streak(
    transaction: &DatabaseTransaction,
    row: &player::Model,
    days: &BTreeSet<i32>,
) -> Result<Streak, DbErr> {
    let before = Streak {
        first: row.first_day,
        last: row.last_day,
        current: row.streak,
        best: row.best_streak,
    };
    let mut after = before;
    for day in days {
        match after.with(*day) {
            Some(streak) => after = streak,
            // A day before the last one, which came late: only all of them tell.
            None => {
                let all = day_total::Entity::find()
                    .filter(day_total::Column::Player.eq(row.id))
                    .order_by_asc(day_total::Column::Day)
                    .all(transaction)
                    .await?;
                return Ok(Streak::of(all.iter().map(|row| row.day)));
            }
        }
    }
    Ok(after)
}

async fn add_to_teams(
    transaction: &DatabaseTransaction,
    days: &BTreeMap<(i64, i32), i64>,
) -> Result<(), DbErr> {
    use team_day_total::{Column, Entity, Model};
    let members = team_member::Entity::find()
        .filter(team_member::Column::Player.is_in(days.keys().map(|(player, _)| *player)))
        .all(transaction)
        .await?;
    let teams: HashMap<i64, i64> = members.iter().map(|row| (row.player, row.team)).collect();
    let mut of_team: BTreeMap<(i64, i32), i64> = BTreeMap::new();
    for ((player, day), more) in days {
        if let Some(team) = teams.get(player) {
            *of_team.entry((*team, *day)).or_default() += more;
        }
    }
    if of_team.is_empty() {
        return Ok(());
    }
    let found = Entity::find()
        .filter(Column::Team.is_in(of_team.keys().map(|(team, _)| *team)))
        .filter(Column::Day.is_in(of_team.keys().map(|(_, day)| *day)))
        .all(transaction)
        .await?;
    let found: HashMap<_, _> = found.iter().map(|row| ((row.team, row.day), row.checks)).collect();
    let rows = of_team.iter().map(|((team, day), more)| {
        let before = found.get(&(*team, *day)).copied().unwrap_or_default();
        let row = Model { team: *team, day: *day, checks: before + more };
        row.into_active_model().reset_all()
    });
    let sum =
        OnConflict::columns([Column::Team, Column::Day]).update_column(Column::Checks).to_owned();
    let rows: Vec<_> = rows.collect();
    for rows in rows.chunks(ROWS) {
        Entity::insert_many(rows.to_vec())
            .on_conflict(sum.clone())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// The first of a leaderboard, at most so many; of one day, or of all.
///
/// # Errors
/// What the database says.
pub async fn ranking(
    connection: &impl ConnectionTrait,
    of: Leaderboard,
    day: Option<i32>,
    most: u64,
) -> Result<Vec<Ranked>, DbErr> {
    let totals = match (of, day) {
        (Leaderboard::Players, None) => {
            let rows = player::Entity::find()
                .filter(player::Column::Total.gt(0))
                .order_by_desc(player::Column::Total)
                .order_by_asc(player::Column::Id)
                .limit(most)
                .all(connection)
                .await?;
            rows.iter().map(|row| (row.id, row.total)).collect()
        }
        (Leaderboard::Players, Some(day)) => {
            let rows = day_total::Entity::find()
                .filter(day_total::Column::Day.eq(day))
                .order_by_desc(day_total::Column::Checks)
                .order_by_asc(day_total::Column::Player)
                .limit(most)
                .all(connection)
                .await?;
            rows.iter().map(|row| (row.player, row.checks)).collect()
        }
        (Leaderboard::Teams, Some(day)) => {
            let rows = team_day_total::Entity::find()
                .filter(team_day_total::Column::Day.eq(day))
                .order_by_desc(team_day_total::Column::Checks)
                .order_by_asc(team_day_total::Column::Team)
                .limit(most)
                .all(connection)
                .await?;
            rows.iter().map(|row| (row.team, row.checks)).collect()
        }
        (Leaderboard::Teams, None) => {
            let mut totals: HashMap<i64, i64> = HashMap::new();
            for row in team_day_total::Entity::find().all(connection).await? {
                *totals.entry(row.team).or_default() += row.checks;
            }
            let mut totals: Vec<_> = totals.into_iter().collect();
            totals.sort_unstable_by_key(|(team, checks)| (-checks, *team));
            totals.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            totals
        }
    };
    name(connection, of, totals).await
}

/// Adds names, and colours, to ids and totals.
async fn name(
    connection: &impl ConnectionTrait,
    of: Leaderboard,
    totals: Vec<(i64, i64)>,
) -> Result<Vec<Ranked>, DbErr> {
    let ids: Vec<i64> = totals.iter().map(|(id, _)| *id).collect();
    let mut names: HashMap<i64, (String, Option<String>)> = match of {
        Leaderboard::Players => {
            let named = account::Entity::find().filter(account::Column::Player.is_in(ids.clone()));
            let mut names: HashMap<_, _> = named
                .all(connection)
                .await?
                .into_iter()
                .map(|row| (row.player, (row.name, None)))
                .collect();
            let members =
                team_member::Entity::find().filter(team_member::Column::Player.is_in(ids));
            let members = members.all(connection).await?;
            let teams = team::Entity::find()
                .filter(team::Column::Id.is_in(members.iter().map(|row| row.team)));
            let colours: HashMap<i64, String> =
                teams.all(connection).await?.into_iter().map(|row| (row.id, row.colour)).collect();
            for member in members {
                if let Some((_, colour)) = names.get_mut(&member.player) {
                    *colour = colours.get(&member.team).cloned();
                }
            }
            names
        }
        Leaderboard::Teams => {
            let named = team::Entity::find().filter(team::Column::Id.is_in(ids));
            let named = named.all(connection).await?.into_iter();
            named.map(|row| (row.id, (row.name, Some(row.colour)))).collect()
        }
    };
    let ranked = totals.into_iter().map(|(id, total)| {
        let (name, colour) =
            names.remove(&id).map_or((None, None), |(name, colour)| (Some(name), colour));
        Ok(Ranked { id: super::group(id)?, name, colour, total: total.cast_unsigned() })
    });
    ranked.collect()
}
