//! `swarm people`: players with identities, teams and voices, who come and go while servers may be killed. Whether every box
//! is credited to exactly one of those who checked it, leaderboards say the same, and everybody heard everything.

mod http;
mod ledger;
mod line;
mod player;
mod seal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::PeopleArgs;
use crate::board::announced_total;
use crate::books::Books;
use crate::crew::Run;
use crate::faults::{Fault, Faults};
use crate::observer::Waited;
use crate::scene::Scene;
use crate::shuffle::Shuffle;
use crate::target::Target;

use self::http::{Answer, ask};
use self::player::{Counts, Ledger, Player, Stage, World};
use self::seal::Sealer;

/// Messages of a group that a server keeps, of the last [`KEPT_FOR`].
const KEPT: usize = 100;

/// How long it keeps them: a longer run looks at no more than how they end.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// Lines of a leaderboard.
const RANKED: usize = 100;

/// Between two looks at totals that are not up to date.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Somebody, before it plays.
#[derive(Debug, Clone)]
struct Person {
    user: u64,
    cookie: String,
}

impl Person {
    fn id(&self) -> String {
        format!("{:016x}", self.user)
    }
}

/// A team, as the server has made it.
#[derive(Debug, Clone)]
struct Team {
    id: String,
    invite: String,
}

pub(crate) async fn run(args: PeopleArgs, mut scene: Scene) -> Result<(Scene, Faults)> {
    ensure!(scene.run.books.base == 0, "the board has to be empty: every box is accounted for");
    ensure!(args.players.is_multiple_of(2), "--players {}: is not even", args.players);
    ensure!(
        args.teams <= args.accounts && args.accounts <= args.players,
        "--teams {} is at most --accounts {}, and that at most --players",
        args.teams,
        args.accounts
    );
    let mut targets = vec![scene.target.clone()];
    for url in &args.also {
        targets.push(Target::resolve(url, None, scene.common.sources, 0)?);
    }
    let seed = scene.common.seed.unwrap_or_default();
    scene.observer.say("sealing identities, making teams");
    let mut people = seal(&args, seed)?;
    let teams = enlist(&args, &targets, seed, &mut people).await?;

    let (stage, world) = world(&args, &scene, targets, seed);
    let mut players = JoinSet::new();
    for (index, person) in (0..).zip(&people) {
        let team = format!("team:{}", teams[(index % args.teams) as usize].id);
        let player = Player::new(world.clone(), index, person.cookie.clone(), person.id(), team);
        players.spawn(player.play());
    }
    let began = Instant::now();
    course(&args, &mut scene, &world, &stage).await;
    stage.send_replace(Stage::Over);
    players.join_all().await;
    let seconds = began.elapsed().as_secs_f64();

    let mut ledger = std::mem::take(&mut *world.ledger());
    unsettled(&mut ledger);
    let patience = Duration::from_secs_f64(args.patience);
    credits(&world.targets, &people, &teams, &args, &mut ledger, patience).await?;
    totals(&scene, &world.targets, &mut ledger, patience).await;
    figures(&mut scene, &world.counts, &ledger, seconds);
    Ok((scene, ledger.faults))
}

/// Gives everybody an identity.
fn seal(args: &PeopleArgs, seed: u64) -> Result<Vec<Person>> {
    let sealer = Sealer::read(&args.keys_file)?;
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().context("the clock")?;
    let now_s = u32::try_from(since_1970.as_secs())?;
    let mut rng = SmallRng::seed_from_u64(seed);
    let people = (0..args.players).map(|_| {
        let user = rng.random_range(1..u64::MAX >> 1);
        let cookie = sealer.cookie(user, rng.random(), now_s, rng.random());
        Person { user, cookie }
    });
    Ok(people.collect())
}

/// What an answer holds, if it is 200.
fn done(answer: &Answer) -> Result<&Value> {
    ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
    Ok(&answer.body)
}

/// Gives the first of them accounts, lets those make teams, and all others join.
async fn enlist(
    args: &PeopleArgs,
    targets: &[Target],
    seed: u64,
    people: &mut [Person],
) -> Result<Vec<Team>> {
    let target = &targets[0];
    let mut teams = Vec::new();
    for (index, person) in (0..args.accounts).zip(people.iter_mut()) {
        // Of 24 characters at most.
        let name = format!("{:x}-{index}", seed as u32);
        let account = json!({ "name": name, "password": format!("{seed:016x}") });
        let answer = ask(target, "/me/register", &person.cookie, Some(&account)).await?;
        let me = done(&answer).context("registering")?;
        ensure!(me["user"] == person.id().as_str(), "registering made {me} of {}", person.id());
        if let Some(cookie) = answer.cookie {
            person.cookie = cookie;
        }
        if index < args.teams {
            let team = json!({ "name": format!("team {name}"), "colour": "#cc3311" });
            let answer = ask(target, "/teams", &person.cookie, Some(&team)).await?;
            let made = done(&answer).context("making a team")?;
            let text = |field: &str| made[field].as_str().map(str::to_owned);
            let (id, invite) = (text("id"), text("invite"));
            let (Some(id), Some(invite)) = (id, invite) else { bail!("a team is {made}") };
            teams.push(Team { id, invite });
        }
    }
    let others: Vec<_> = (0..)
        .zip(people.iter())
        .skip(args.teams as usize)
        .map(|(index, person)| {
            let team: &Team = &teams[(index % args.teams) as usize];
            (person.cookie.clone(), json!({ "invite": team.invite }))
        })
        .collect();
    let joined = ask_all(targets, "/teams/join", others).await?;
    for answer in &joined {
        done(answer).context("joining a team")?;
    }
    Ok(teams)
}

/// Sends a request for each, some at once; the answers in their order.
async fn ask_all(
    targets: &[Target],
    path: &'static str,
    asked: Vec<(String, Value)>,
) -> Result<Vec<Answer>> {
    let mut answers: BTreeMap<usize, Answer> = BTreeMap::new();
    let mut under_way = JoinSet::new();
    for (index, (cookie, body)) in asked.into_iter().enumerate() {
        if under_way.len() >= AT_ONCE
            && let Some(answered) = under_way.join_next().await
        {
            let (index, answer): (usize, Result<Answer>) = answered?;
            answers.insert(index, answer?);
        }
        let target = targets[index % targets.len()].clone();
        under_way.spawn(async move { (index, ask(&target, path, &cookie, Some(&body)).await) });
    }
    while let Some(answered) = under_way.join_next().await {
        let (index, answer) = answered?;
        answers.insert(index, answer?);
    }
    Ok(answers.into_values().collect())
}

fn world(
    args: &PeopleArgs,
    scene: &Scene,
    targets: Vec<Target>,
    seed: u64,
) -> (watch::Sender<Stage>, Arc<World>) {
    let (sender, stage) = watch::channel(Stage::Gathering);
    let players = args.players as usize;
    let every = |rate: f64| Duration::from_secs_f64(f64::from(args.players) / rate);
    let mut ledger = Ledger::default();
    ledger.orders.resize_with(args.teams as usize, Default::default);
    ledger.pairs.resize_with(players / 2, Default::default);
    ledger.ears.resize_with(players, Default::default);
    ledger.settled.resize(players, false);
    let longest = Duration::from_secs_f64(args.seconds + 2. * args.patience);
    let world = World {
        targets,
        shuffle: Shuffle::new(scene.common.boxes, seed),
        seed,
        players: args.players,
        teams: args.teams,
        connect_timeout: Duration::from_secs_f64(scene.common.connect_timeout),
        check_every: every(args.rate),
        write_every: every(args.messages),
        leave_every: every(args.churn),
        kept: if longest < KEPT_FOR { KEPT } else { 1 },
        stage,
        counts: Counts::default(),
        ledger: ledger.into(),
    };
    (sender, Arc::new(world))
}

/// Lets everybody come, play, and wait for their answers.
async fn course(args: &PeopleArgs, scene: &mut Scene, world: &World, stage: &watch::Sender<Stage>) {
    let patience = Duration::from_secs_f64(args.patience);
    let line = || {
        let Counts { acknowledged, sent, heard, .. } = &world.counts;
        format!(
            "{} checks, {} messages, heard {} times",
            acknowledged.load(Relaxed),
            sent.load(Relaxed),
            heard.load(Relaxed)
        )
    };
    // All of them in their teams before anything is said.
    let settled = || world.ledger().settled.iter().all(|settled| *settled);
    scene.observer.wait(patience, settled, line).await;
    stage.send_replace(Stage::Playing);
    eprintln!("swarm people: playing");
    let seconds = Duration::from_secs_f64(args.seconds);
    if scene.observer.wait(seconds, || false, line).await == Waited::Interrupted {
        scene.report.note("interrupted: it was played for less long");
        scene.observer.rearm();
    }
    stage.send_replace(Stage::Draining);
    let all_heard = || {
        let ledger = world.ledger();
        let mut all = ledger.settled.iter().all(|settled| *settled);
        for (index, ear) in ledger.ears.iter().enumerate() {
            let order = &ledger.orders[index % world.teams as usize];
            all &= order.last().is_none() || ear.last == order.last();
        }
        all
    };
    scene.observer.wait(patience, all_heard, line).await;
    let auditors = world.ledger().settled.len();
    world.ledger().settled = vec![false; auditors];
    stage.send_replace(Stage::Auditing);
    scene.observer.wait(patience, settled, line).await;
}

/// Whoever is not done when the run is over, or has not heard what others have.
fn unsettled(ledger: &mut Ledger) {
    let teams = ledger.orders.len();
    for (index, ear) in ledger.ears.iter().enumerate() {
        if !ledger.settled[index] {
            ledger.faults.note(Fault::Unanswered, || format!("player {index}"));
        }
        let last = ledger.orders[index % teams].last();
        if last.is_some() && ear.last != last {
            ledger.faults.note(Fault::MessageMissed, || {
                format!("player {index}: heard up to {:?}, and the last was {last:?}", ear.last)
            });
        }
    }
}

/// Judges what everybody is credited with, and what leaderboards say of it.
async fn credits(
    targets: &[Target],
    people: &[Person],
    teams: &[Team],
    args: &PeopleArgs,
    ledger: &mut Ledger,
    patience: Duration,
) -> Result<()> {
    let boxes: u64 = ledger.pairs.iter().map(|pair| pair.boxes()).sum();
    let deadline = Instant::now() + patience;
    let mut credited;
    loop {
        let asked = people.iter().map(|person| (person.cookie.clone(), json!({}))).collect();
        let answers = ask_all(targets, "/me/export", asked).await?;
        credited = Vec::new();
        for answer in &answers {
            credited
                .push(done(answer).context("an export")?["player"]["total"].as_u64().unwrap_or(0));
        }
        if credited.iter().sum::<u64>() == boxes || Instant::now() >= deadline {
            break;
        }
        sleep(LOOK_AGAIN).await;
    }
    for (at, (pair, credited)) in ledger.pairs.iter().zip(credited.chunks(2)).enumerate() {
        pair.judge([credited[0], credited[1]], 2 * at, &mut ledger.faults);
    }
    let players: BTreeMap<_, _> =
        people.iter().zip(&credited).map(|(person, total)| (person.id(), *total)).collect();
    let mut of_teams = BTreeMap::new();
    for (index, total) in credited.iter().enumerate() {
        *of_teams.entry(teams[index % args.teams as usize].id.clone()).or_insert(0) += total;
    }
    for (of, counted) in [("players", &players), ("teams", &of_teams)] {
        let deadline = Instant::now() + patience;
        for target in targets {
            let path = format!("/leaderboard?of={of}");
            loop {
                let answer = ask(target, &path, "", None).await?;
                let judged = ranks(done(&answer).context("a leaderboard")?, counted);
                match judged {
                    Ok(()) => break,
                    Err(why) if Instant::now() >= deadline => {
                        ledger.faults.note(Fault::LeaderboardWrong, || format!("of {of}: {why}"));
                        break;
                    }
                    Err(_) => sleep(LOOK_AGAIN).await,
                }
            }
        }
    }
    Ok(())
}

/// Whether a leaderboard is what was counted, the greatest first.
fn ranks(board: &Value, counted: &BTreeMap<String, u64>) -> Result<(), String> {
    let entries = board["entries"].as_array().ok_or("it has no entries")?;
    let mut totals: Vec<u64> = counted.values().copied().filter(|total| *total > 0).collect();
    totals.sort_unstable_by_key(|total| std::cmp::Reverse(*total));
    totals.truncate(RANKED);
    if entries.len() != totals.len() {
        return Err(format!("{} lines instead of {}", entries.len(), totals.len()));
    }
    for (entry, total) in entries.iter().zip(&totals) {
        let rank = 1 + totals.iter().filter(|other| *other > total).count();
        let own = entry["id"].as_str().and_then(|id| counted.get(id));
        if entry["total"] != *total || entry["rank"] != rank || own != Some(total) {
            return Err(format!("{entry} instead of {total} at rank {rank}, of its own {own:?}"));
        }
    }
    Ok(())
}

/// Whether all servers announce as many boxes as were checked.
async fn totals(scene: &Scene, targets: &[Target], ledger: &mut Ledger, patience: Duration) {
    let boxes: u64 = ledger.pairs.iter().map(|pair| pair.boxes()).sum();
    for target in targets {
        let deadline = Instant::now() + patience;
        loop {
            let probe = Run::new(Books::new(scene.run.books.shuffle.clone(), 0, false));
            match announced_total(target, &probe).await {
                Ok(total) if u64::from(total) == boxes => break,
                other if Instant::now() >= deadline => {
                    ledger.faults.note(Fault::FinalTotal, || {
                        format!("{}: {other:?} instead of {boxes}", target.host)
                    });
                    break;
                }
                _ => sleep(LOOK_AGAIN).await,
            }
        }
    }
}

fn figures(scene: &mut Scene, counts: &Counts, ledger: &Ledger, seconds: f64) {
    let report = &mut scene.report;
    for (how, times) in &ledger.lost {
        for _ in 0..*times {
            report.lost(how.clone());
        }
    }
    report.section("players");
    report.number("seconds", seconds);
    report.count("connections", counts.connections.load(Relaxed));
    report.count("left_and_came_back", counts.left.load(Relaxed));
    report.count("not_recognised", counts.unrecognised.load(Relaxed));
    report.section("boxes");
    report.count("checks_acknowledged", counts.acknowledged.load(Relaxed));
    report.count("checks_refused", counts.refused.load(Relaxed));
    report.count("boxes_checked", ledger.pairs.iter().map(|pair| pair.boxes()).sum());
    report.count("boxes_of_two", ledger.pairs.iter().map(|pair| pair.shared.len() as u64).sum());
    report.section("messages");
    report.count("messages_sent", counts.sent.load(Relaxed));
    report.count("messages_sent_again", counts.duplicates.load(Relaxed));
    report.count("texts_put_off", counts.put_off.load(Relaxed));
    report.count("messages_heard", counts.heard.load(Relaxed));
    report.count(
        "messages_of_all_teams",
        ledger.orders.iter().map(|order| order.count() as u64).sum(),
    );
    report.count("recoveries", counts.recovered.load(Relaxed));
    report.count("recoveries_incomplete", counts.unrecovered.load(Relaxed));
    report.count(
        "orders_begun_again",
        ledger.orders.iter().map(|order| order.beginnings() as u64).sum(),
    );
    report.count("lost_said", counts.lost.load(Relaxed));
    report.count("lagging_said", counts.lagging.load(Relaxed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaderboard_has_the_greatest_first_and_equal_ones_at_one_rank() {
        let counted: BTreeMap<_, _> = [("a", 5), ("b", 7), ("c", 5), ("d", 0)]
            .map(|(id, total)| (id.to_owned(), total))
            .into();
        let entry =
            |rank: u64, id: &str, total: u64| json!({ "rank": rank, "id": id, "total": total });
        let right = json!({ "entries": [entry(1, "b", 7), entry(2, "c", 5), entry(2, "a", 5)] });
        assert_eq!(ranks(&right, &counted), Ok(()));
        for wrong in [
            json!({}),
            json!({ "entries": [entry(1, "b", 7), entry(2, "c", 5)] }),
            json!({ "entries": [entry(1, "b", 7), entry(2, "c", 5), entry(3, "a", 5)] }),
            json!({ "entries": [entry(1, "b", 7), entry(2, "c", 5), entry(2, "a", 4)] }),
            json!({ "entries": [entry(1, "b", 7), entry(2, "c", 5), entry(2, "d", 5)] }),
        ] {
            assert!(ranks(&wrong, &counted).is_err(), "{wrong}");
        }
    }
}
