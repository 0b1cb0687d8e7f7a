//! One player: stays connected as well as it can, checks boxes, writes to its team, and books what it hears.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::{Ear, Order, Pair, Place};
use super::line::{Heard, Line};
use crate::faults::{Fault, Faults};
use crate::shuffle::{Shuffle, mix64};
use crate::target::Target;

/// Before it dials again, on average.
const REDIAL: Duration = Duration::from_millis(300);

/// Before it sends again what was refused for now.
const RETRY: Duration = Duration::from_millis(400);

/// Of its checks one in so many is of a box that another player is after as well.
const SHARED_EVERY: u32 = 4;

/// Of those who leave, one in so many breaks off.
const BREAKS_OFF: u32 = 4;

/// Members of each team that look what is kept of it at the end.
const AUDITORS: u32 = 2;

/// What everybody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Comes, and joins its team.
    Gathering,
    /// Plays.
    Playing,
    /// Waits for answers.
    Draining,
    /// Looks what is kept.
    Auditing,
    /// Leaves.
    Over,
}

/// What the whole run found.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By team.
    pub(crate) orders: Vec<Order>,
    /// By half the player's number.
    pub(crate) pairs: Vec<Pair>,
    /// By player.
    pub(crate) ears: Vec<Ear>,
    /// Who has nothing left to do in this stage, by player.
    pub(crate) settled: Vec<bool>,
    pub(crate) faults: Faults,
    /// Connections that ended, by how.
    pub(crate) lost: BTreeMap<String, u64>,
}

/// What is counted for the report.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) left: AtomicU64,
    pub(crate) unrecognised: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) put_off: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) recovered: AtomicU64,
    pub(crate) unrecovered: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) lagging: AtomicU64,
}

/// What all players share.
pub(crate) struct World {
    pub(crate) targets: Vec<Target>,
    pub(crate) shuffle: Shuffle,
    pub(crate) seed: u64,
    pub(crate) players: u32,
    pub(crate) teams: u32,
    pub(crate) connect_timeout: Duration,
    /// Between two checks of one player.
    pub(crate) check_every: Duration,
    /// Between two messages.
    pub(crate) write_every: Duration,
    /// Between two times that it leaves, on average.
    pub(crate) leave_every: Duration,
    /// Messages that a server keeps of a group, for as long as the run lasts.
    pub(crate) kept: usize,
    pub(crate) stage: watch::Receiver<Stage>,
    pub(crate) counts: Counts,
    pub(crate) ledger: Mutex<Ledger>,
}

impl World {
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The box of a player's check `number`, and whether another one is after it, too.
    pub(crate) fn box_of(&self, index: u32, number: u32) -> (u32, bool) {
        let is_shared = number % SHARED_EVERY == SHARED_EVERY - 1;
        // Of each row of places the first half and more is of one player each, the rest of a pair each.
        let in_row = if is_shared { self.players + index / 2 } else { index };
        let place = number * (self.players + self.players / 2) + in_row;
        (self.shuffle.id(place), is_shared)
    }

    /// Checks that one player can make.
    pub(crate) fn checks_max(&self) -> u32 {
        self.shuffle.boxes() / (self.players + self.players / 2)
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Something that was sent and not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open<T> {
    what: T,
    /// When it is sent again; nothing while its answer is awaited.
    again: Option<Instant>,
}

/// How a stay at a server ended.
enum Left {
    /// As planned, to come back.
    Away,
    /// For good.
    Over,
}

/// A player.
pub(crate) struct Player {
    world: Arc<World>,
    index: u32,
    cookie: String,
    /// Its user id, as envelopes have it.
    user: String,
    /// The address of its team.
    team: String,
    rng: SmallRng,
    checks: u32,
    messages: u32,
    check_due: Instant,
    write_due: Instant,
    leave_due: Instant,
    open_check: Option<Open<(u32, bool)>>,
    open_message: Option<Open<String>>,
    /// On this connection: the server knows who it is, and it is in its team.
    is_in: bool,
    /// When it asks to be let in again.
    join_again: Option<Instant>,
    /// What it is sent of what is kept, once it has asked for that.
    kept: Option<Vec<(Place, String)>>,
    has_audited: bool,
}

impl Player {
    pub(crate) fn new(
        world: Arc<World>,
        index: u32,
        cookie: String,
        user: String,
        team: String,
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(mix64(world.seed ^ u64::from(index)));
        let now = Instant::now();
        let first = |rng: &mut SmallRng, every: Duration| now + every.mul_f64(rng.random());
        Self {
            check_due: first(&mut rng, world.check_every),
            write_due: first(&mut rng, world.write_every),
            leave_due: first(&mut rng, world.leave_every),
            world,
            index,
            cookie,
            user,
            team,
            rng,
            checks: 0,
            messages: 0,
            open_check: None,
            open_message: None,
            is_in: false,
            join_again: None,
            kept: None,
            has_audited: false,
        }
    }

    fn team_number(&self) -> usize {
        (self.index % self.world.teams) as usize
    }

    fn is_auditor(&self) -> bool {
        self.index / self.world.teams < AUDITORS
    }

    fn stage(&self) -> Stage {
        *self.world.stage.borrow()
    }

    /// Plays until the run is over.
    pub(crate) async fn play(mut self) {
        let mut at = self.index as usize;
        loop {
            at += 1;
            let target = self.world.targets[at % self.world.targets.len()].clone();
            let left = self.stay(&target).await;
            self.is_in = false;
            self.kept = None;
            self.world.ledger().settled[self.index as usize] = false;
            match left {
                Ok(Left::Over) => return,
                Ok(Left::Away) => count(&self.world.counts.left),
                Err(error) => {
                    if self.stage() == Stage::Over {
                        return;
                    }
                    *self.world.ledger().lost.entry(format!("{error:#}")).or_default() += 1;
                }
            }
            sleep(REDIAL.mul_f64(0.5 + self.rng.random::<f64>())).await;
        }
    }

    /// One connection.
    async fn stay(&mut self, target: &Target) -> Result<Left> {
        let mut line = Line::open(target, &self.cookie, self.world.connect_timeout).await?;
        count(&self.world.counts.connections);
        let mut stage = self.world.stage.clone();
        line.text(&json!({ "type": "identify", "id": "who" }));
        loop {
            line.flush().await?;
            tokio::select! {
                heard = line.next() => self.hear(&mut line, heard?)?,
                () = sleep_until(self.next_due()) => {}
                changed = stage.changed() => changed?,
            }
            let stage = *stage.borrow_and_update();
            match stage {
                Stage::Over => {
                    line.close().await;
                    return Ok(Left::Over);
                }
                Stage::Playing if Instant::now() >= self.leave_due => {
                    let every = self.world.leave_every.mul_f64(0.5 + self.rng.random::<f64>());
                    self.leave_due = Instant::now() + every;
                    if !self.rng.random_ratio(1, BREAKS_OFF) {
                        line.close().await;
                    }
                    return Ok(Left::Away);
                }
                now => self.act(&mut line, now),
            }
        }
    }

    /// When there is something to do.
    fn next_due(&self) -> Instant {
        let mut due = Instant::now() + Duration::from_secs(1);
        let again = |open: Option<Option<Instant>>| open.flatten();
        let opened = [
            again(self.open_check.as_ref().map(|open| open.again)),
            again(self.open_message.as_ref().map(|open| open.again)),
            self.join_again,
        ];
        for again in opened.into_iter().flatten() {
            due = due.min(again);
        }
        if self.stage() == Stage::Playing {
            due = due.min(self.leave_due);
            if self.is_in && self.open_check.is_none() {
                due = due.min(self.check_due);
            }
            if self.is_in && self.open_message.is_none() {
                due = due.min(self.write_due);
            }
        }
        due
    }

    /// Does what is due.
    fn act(&mut self, line: &mut Line, stage: Stage) {
        let now = Instant::now();
        if self.join_again.take_if(|again| *again <= now).is_some() {
            self.join(line);
        }
        if !self.is_in {
            return;
        }
        if stage == Stage::Playing {
            if self.open_check.is_none()
                && self.check_due <= now
                && self.checks < self.world.checks_max()
            {
                let what = self.world.box_of(self.index, self.checks);
                self.checks += 1;
                self.check_due = (self.check_due + self.world.check_every).max(now);
                self.open_check = Some(Open { what, again: Some(now) });
            }
            if self.open_message.is_none() && self.write_due <= now {
                let what = format!("p{}-{}", self.index, self.messages);
                self.messages += 1;
                self.write_due = (self.write_due + self.world.write_every).max(now);
                self.open_message = Some(Open { what, again: Some(now) });
            }
        }
        if let Some(open) = &mut self.open_check
            && open.again.take_if(|again| *again <= now).is_some()
        {
            line.check(open.what.0);
        }
        if let Some(open) = &mut self.open_message
            && open.again.take_if(|again| *again <= now).is_some()
        {
            let text = format!("{} says {}", self.index, open.what);
            line.text(&json!({
                "type": "message", "id": open.what, "to": self.team, "data": { "text": text },
            }));
        }
        if stage == Stage::Auditing
            && self.is_auditor()
            && !self.has_audited
            && self.kept.is_none()
            && self.is_settled()
        {
            self.kept = Some(Vec::new());
            line.text(&json!({ "type": "recover", "id": "kept", "to": self.team }));
        }
        let has_looked = stage < Stage::Auditing || !self.is_auditor() || self.has_audited;
        let is_settled = self.is_settled() && has_looked;
        self.world.ledger().settled[self.index as usize] = is_settled;
    }

    /// Whether everything that it has sent was answered.
    fn is_settled(&self) -> bool {
        self.is_in && self.open_check.is_none() && self.open_message.is_none()
    }

    fn join(&self, line: &mut Line) {
        let last = self.world.ledger().ears[self.index as usize].last.clone();
        let data = last.map_or_else(
            || json!({}),
            |last| json!({ "recover": { "offset": last.offset, "epoch": last.epoch } }),
        );
        line.text(&json!({ "type": "join", "id": "join", "to": self.team, "data": data }));
    }

    fn hear(&mut self, line: &mut Line, heard: Heard) -> Result<()> {
        match heard {
            Heard::Total | Heard::Nothing => {}
            Heard::Checked(id) => self.checked(id),
            Heard::Refused(id, _) => {
                count(&self.world.counts.refused);
                if let Some(open) = self.open_check.as_mut().filter(|open| open.what.0 == id) {
                    open.again = Some(Instant::now() + RETRY);
                }
            }
            Heard::Text(envelope) => self.text(line, &envelope)?,
            Heard::Closed(closed) => bail!("{closed}"),
        }
        Ok(())
    }

    fn checked(&mut self, id: u32) {
        let Some(open) = self.open_check.take_if(|open| open.what.0 == id) else {
            let index = self.index;
            let text = || format!("player {index}: box {id}");
            return self.world.ledger().faults.note(Fault::UnaskedAnswer, text);
        };
        count(&self.world.counts.acknowledged);
        let mut ledger = self.world.ledger();
        let pair = &mut ledger.pairs[self.index as usize / 2];
        if open.what.1 {
            pair.shared.insert(id);
        } else {
            pair.own[self.index as usize % 2] += 1;
        }
    }

    fn text(&mut self, line: &mut Line, envelope: &Value) -> Result<()> {
        let data = &envelope["data"];
        let is_of_team = envelope["to"] == self.team.as_str();
        let counts = &self.world.counts;
        match envelope["type"].as_str().unwrap_or_default() {
            "welcome" => {
                if data["user"] != self.user.as_str() {
                    // A server that has not read yet who was signed out takes nobody for anybody.
                    count(&counts.unrecognised);
                    bail!("was not recognised");
                }
                self.join(line);
            }
            "joined" if is_of_team => self.joined(data),
            "recovered" if is_of_team => self.recovered(data),
            "message" if is_of_team => {
                let (Some(place), Some(id)) = (place(envelope), envelope["id"].as_str()) else {
                    return self.odd(envelope);
                };
                if let Some(kept) = &mut self.kept {
                    kept.push((place, id.to_owned()));
                    return Ok(());
                }
                count(&counts.heard);
                let (index, team) = (self.index as usize, self.team_number());
                let mut ledger = self.world.ledger();
                let Ledger { ears, orders, faults, .. } = &mut *ledger;
                orders[team].note(&place, id, faults);
                ears[index].hear(place, index, faults);
            }
            "sent" => {
                let of = data["of"].as_str().unwrap_or_default();
                let Some(place) = place(data) else { return self.odd(envelope) };
                let Some(open) = self.open_message.take_if(|open| open.what == of) else {
                    return self.odd(envelope);
                };
                count(&counts.sent);
                if data["duplicate"] == true {
                    count(&counts.duplicates);
                }
                let team = self.team_number();
                let mut ledger = self.world.ledger();
                let Ledger { orders, faults, .. } = &mut *ledger;
                orders[team].note(&place, &open.what, faults);
            }
            "lost" => {
                count(if is_of_team { &counts.lost } else { &counts.lagging });
                let place = is_of_team.then(|| place(data)).flatten();
                self.world.ledger().ears[self.index as usize].last = place;
            }
            "error" => return self.refused(envelope),
            "left" => return self.odd(envelope),
            _ => {}
        }
        Ok(())
    }

    fn joined(&mut self, data: &Value) {
        let index = self.index as usize;
        let mut ledger = self.world.ledger();
        let Ledger { ears, faults, .. } = &mut *ledger;
        match place(data) {
            Some(place) => ears[index].is_at(place, index, faults),
            None => faults.note(Fault::BadText, || format!("joined: {data}")),
        }
        drop(ledger);
        self.is_in = true;
        let now = Instant::now();
        // Whether they were taken is not known; asking again is harmless.
        if let Some(open) = &mut self.open_check {
            open.again = Some(now);
        }
        if let Some(open) = &mut self.open_message {
            open.again = Some(now);
        }
    }

    fn recovered(&mut self, data: &Value) {
        let (index, team) = (self.index as usize, self.team_number());
        let mut ledger = self.world.ledger();
        let Ledger { ears, orders, faults, .. } = &mut *ledger;
        let Some(place) = place(data) else {
            return faults.note(Fault::BadText, || format!("recovered: {data}"));
        };
        if let Some(kept) = self.kept.take() {
            self.has_audited = true;
            return orders[team].judge_history(&kept, self.world.kept, faults);
        }
        if data["recovered"] == true {
            count(&self.world.counts.recovered);
            ears[index].is_at(place, index, faults);
        } else {
            count(&self.world.counts.unrecovered);
            ears[index].last = Some(place);
        }
    }

    /// Something was refused: for now, or it should not have been.
    fn refused(&mut self, envelope: &Value) -> Result<()> {
        let data = &envelope["data"];
        let code = data["code"].as_str().unwrap_or_default();
        if !matches!(code, "rate" | "busy" | "unavailable") {
            return self.odd(envelope);
        }
        count(&self.world.counts.put_off);
        let wait = data["retry_after_ms"].as_u64().map_or(RETRY, Duration::from_millis);
        let again = Instant::now() + wait;
        match data["of"].as_str().unwrap_or_default() {
            "join" => self.join_again = Some(again),
            "kept" => self.kept = None,
            "who" => bail!("cannot be recognised: {code}"),
            of => {
                if let Some(open) = self.open_message.as_mut().filter(|open| open.what == of) {
                    open.again = Some(again);
                }
            }
        }
        Ok(())
    }

    fn odd(&self, envelope: &Value) -> Result<()> {
        let index = self.index;
        let text = || format!("player {index}: {envelope}");
        self.world.ledger().faults.note(Fault::TextRefused, text);
        Ok(())
    }
}

/// A place among the fields of an envelope or of its data.
fn place(fields: &Value) -> Option<Place> {
    let (offset, epoch) = (fields["offset"].as_u64()?, fields["epoch"].as_str()?);
    Some(Place { epoch: epoch.to_owned(), offset })
}
