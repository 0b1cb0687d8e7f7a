//! The board over real sockets beside a plain set: whatever players do, everybody is told every
//! newly checked box once and in order, and ranges say what the set says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::{
    RngExt, SeedableRng,
    rngs::StdRng,
    seq::{IndexedMutRandom, IndexedRandom},
};

use crate::harness::{
    client::{Client, Told, checked},
    long, seed,
    server::{Server, Setup},
};

/// Three shards of 100,000, 100,000 and 50,003 boxes: whole tiles, and an end that is no whole byte.
const BOXES: u32 = 250_003;

/// Places where arithmetic goes wrong: bytes, words, tiles, shards, the end.
const EDGES: [u32; 12] = [1, 8, 9, 16, 32, 64, 65, 100_000, 100_001, 200_000, 200_001, BOXES];

/// A player and what it has been told.
struct Player {
    client: Client,
    scoped: bool,
    total: u32,
    told: BTreeSet<u32>,
    /// Ranges this `v=2` player asked for, latest last.
    view: Vec<(u32, u32)>,
    /// Own checks of this round: box → (times sent, answers that were no updates).
    sent: HashMap<u32, (u32, u32)>,
    /// Every box it ever checked: answers to repeated checks may come a round later.
    ever_sent: BTreeSet<u32>,
    /// Boxes of this round that an answer has shown, so that no update needs to follow.
    shown: BTreeSet<u32>,
    /// Ranges asked for and not answered, with what it had been told before asking.
    asked: Vec<(u32, u32, BTreeSet<u32>)>,
    /// Checked boxes by tile, as pulses told them; nobody was there before this player.
    tiles: BTreeMap<u16, u32>,
}

impl Player {
    fn new(server: &Server, scoped: bool, known: &BTreeSet<u32>) -> Self {
        let client = if scoped { server.client_v2() } else { server.client() };
        assert_eq!(client.greeted as usize, known.len(), "greeted with the total at rest");
        Self {
            total: client.greeted,
            client,
            scoped,
            told: known.clone(),
            view: vec![],
            sent: HashMap::new(),
            ever_sent: BTreeSet::new(),
            shown: BTreeSet::new(),
            asked: vec![],
            tiles: BTreeMap::new(),
        }
    }

    fn check(&mut self, id: u32) {
        self.client.check(id);
        self.sent.entry(id).or_default().0 += 1;
        self.ever_sent.insert(id);
    }

    fn ask(&mut self, first: u32, last: u32) {
        self.client.ask(first, last);
        self.look_at(first, last);
        self.asked.push((first, last, self.told.clone()));
    }

    fn look_at(&mut self, first: u32, last: u32) {
        self.view.retain(|known| *known != (first, last));
        self.view.push((first, last));
        if self.view.len() > 16 {
            self.view.remove(0);
        }
    }

    /// Takes in one message. `fresh` are the boxes that may flip in this round.
    fn hear(&mut self, told: Told, flipped: &BTreeSet<u32>, fresh: &BTreeSet<u32>) {
        match told {
            Told::Update { total, id } if self.is_answer(total, id) => {
                // A scoped player may come too late for a box of this round that lies outside its
                // view; it has heard of that one by a total at most.
                let came_late = self.scoped && fresh.contains(&id);
                let known = self.told.contains(&id) || flipped.contains(&id) || came_late;
                assert!(known, "{id}, {total}: a total was told before its update");
                if let Some((_, answers)) = self.sent.get_mut(&id) {
                    *answers += 1;
                }
                self.told.insert(id);
            }
            Told::Update { total, id } => {
                assert!(fresh.contains(&id), "{id} was flipped before or never checked");
                assert!(self.told.insert(id), "{id} was announced twice");
                if self.scoped {
                    assert!(total > self.total, "totals never fall");
                } else {
                    assert_eq!(total, self.total + 1, "totals have no gaps");
                }
                self.total = total;
            }
            Told::Pulse { total, tiles, .. } => {
                let possible: BTreeSet<u32> = flipped.union(fresh).copied().collect();
                self.hear_pulse(total, &tiles, &possible);
            }
            Told::Range { first, mask } => {
                let (from, last, known) = self.asked.remove(0);
                assert_eq!(first, from, "answers come in the order of their requests");
                let ids: BTreeSet<u32> = checked(from, last, &mask).into_iter().collect();
                let must: BTreeSet<u32> = known.range(from..=last).copied().collect();
                assert!(must.is_subset(&ids), "{from}..={last} lacks {:?}", &must - &ids);
                let may = |id: &u32| flipped.contains(id) || fresh.contains(id);
                assert!(ids.iter().all(may), "{from}..={last} has boxes that nobody checked");
                if self.scoped {
                    // A scoped player knows from answers what it is not told by updates.
                    self.told.extend(ids.difference(fresh));
                    self.shown.extend(ids.intersection(fresh));
                }
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    /// Totals and tiles only grow, and never past what anybody can have checked.
    fn hear_pulse(&mut self, total: u32, tiles: &[(u16, u32)], possible: &BTreeSet<u32>) {
        assert!(self.scoped && total >= self.total, "a total moves on, for v=2 only");
        self.total = total;
        for (tile, count) in tiles {
            let most = possible.range(tile_boxes(*tile)).count();
            let before = self.tiles.insert(*tile, *count).unwrap_or(0);
            assert!((before..=most as u32).contains(count), "{before} <= {count} <= {most}");
        }
    }

    /// Hears what it is still owed of its view, and ends the round.
    fn settle(&mut self, flipped: &BTreeSet<u32>) {
        let owed = |player: &Self, id: &u32| {
            let in_view = player.view.iter().any(|(first, last)| (first..=last).contains(&id));
            in_view && !player.told.contains(id) && !player.shown.contains(id)
        };
        while flipped.iter().any(|id| owed(self, id)) {
            let told = self.client.any();
            self.hear(told, &BTreeSet::new(), flipped);
        }
        self.told = flipped.clone();
        self.sent.clear();
        self.shown.clear();
    }

    /// At rest, a range answer is exactly what the set says.
    fn agrees(&mut self, first: u32, last: u32, flipped: &BTreeSet<u32>) {
        let mut before = vec![];
        let ids = self.client.range(first, last, &mut before);
        self.look_at(first, last);
        let model: Vec<u32> = flipped.range(first..=last).copied().collect();
        assert_eq!(ids, model, "{first}..={last}");
        for told in before {
            match told {
                Told::Update { total, id } if self.is_answer(total, id) => {}
                // An update of this round that an answer had shown already.
                Told::Update { total, id } => {
                    assert!(self.scoped && total > self.total && flipped.contains(&id));
                    self.total = total;
                }
                Told::Pulse { total, tiles, .. } => self.hear_pulse(total, &tiles, flipped),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    /// Whether an 8-byte message answers this player alone instead of announcing.
    fn is_answer(&self, total: u32, id: u32) -> bool {
        total <= self.total && self.ever_sent.contains(&id)
    }

    /// Whether everything this round owes the player has come.
    fn is_served(&self, flipped: &BTreeSet<u32>, fresh: &BTreeSet<u32>) -> bool {
        if !self.asked.is_empty() {
            return false;
        }
        if !self.scoped && !fresh.is_subset(&self.told) {
            return false;
        }
        self.sent.iter().all(|(id, (times, answers))| match (self.scoped, flipped.contains(id)) {
            // Plain: each check of a box that was flushed before is answered by itself. Answers to
            // repeated checks of the round before may have come in between.
            (false, true) => answers >= times,
            (false, false) => self.told.contains(id),
            (true, true) => *answers >= 1,
            (true, false) => self.told.contains(id),
        })
    }
}

fn tile_boxes(tile: u16) -> std::ops::RangeInclusive<u32> {
    let first = u32::from(tile) * 100_000 + 1;
    first..=first + 99_999
}

fn a_box(random: &mut StdRng) -> u32 {
    let edge = *EDGES.choose(random).expect("there are edges");
    match random.random_range(0..4) {
        0 => random.random_range(1..=BOXES),
        1 => edge,
        _ => (edge + random.random_range(0..12)).saturating_sub(6).clamp(1, BOXES),
    }
}

fn a_range(random: &mut StdRng) -> (u32, u32) {
    let first = a_box(random);
    let longest = (BOXES - first + 1).min(100_000);
    let boxes = match random.random_range(0..4) {
        0 => random.random_range(1..=longest),
        1 => longest,
        _ => *[1, 7, 8, 9, 31, 32, 33, 40, 41, 64, 65].choose(random).expect("lengths"),
    };
    (first, first + boxes.min(longest) - 1)
}

#[test]
fn players_and_a_plain_set_agree() {
    let mut random = StdRng::seed_from_u64(seed("players_and_a_plain_set_agree"));
    let setup = Setup::new(BOXES, 3).with("BROADCASTER__INTERVAL_MS", 3);
    let mut server = setup.start();
    let mut flipped = BTreeSet::new();
    let mut players: Vec<Player> =
        [false, false, false, true, true].map(|v2| Player::new(&server, v2, &flipped)).into();

    for round in 0..if long() { 3000 } else { 300 } {
        let mut fresh = BTreeSet::new();
        // A race: several players, some of them twice, for the same boxes of this round.
        let contested: Vec<u32> = (0..3).map(|_| a_box(&mut random)).collect();
        for _ in 0..random.random_range(1..40) {
            let player = players.choose_mut(&mut random).expect("there are players");
            let id = match random.random_range(0..10) {
                0..4 => Some(*contested.choose(&mut random).expect("three")),
                4..7 => Some(a_box(&mut random)),
                7 => flipped.iter().nth(random.random_range(0..=flipped.len())).copied(),
                _ => None,
            };
            match id {
                Some(id) => {
                    player.check(id);
                    if !flipped.contains(&id) {
                        fresh.insert(id);
                    }
                }
                None => {
                    let (first, last) = a_range(&mut random);
                    player.ask(first, last);
                }
            }
        }
        for player in &mut players {
            while !player.is_served(&flipped, &fresh) {
                let told = player.client.any();
                player.hear(told, &flipped, &fresh);
            }
        }
        flipped.append(&mut fresh);
        for player in &mut players {
            player.settle(&flipped);
            let (first, last) = a_range(&mut random);
            player.agrees(first, last, &flipped);
        }
        if round % 100 == 99 {
            let newcomer = Player::new(&server, false, &flipped);
            players.remove(0);
            players.insert(0, newcomer);
        }
    }

    for player in players.iter_mut().filter(|player| player.scoped) {
        // The last changes are in the last pulse, or it is still to come.
        let counted = |tile| flipped.range(tile_boxes(tile)).count() as u32;
        while (0..3).any(|tile| player.tiles.get(&tile).copied().unwrap_or(0) != counted(tile)) {
            let (total, _, tiles) = player.client.next_pulse();
            player.hear_pulse(total, &tiles, &flipped);
        }
    }
    drop(players);
    server.kill();
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.greeted as usize, flipped.len(), "the total is the popcount");
    let mut stored = vec![];
    for first in (1..=BOXES).step_by(100_000) {
        stored.extend(client.range(first, (first + 99_999).min(BOXES), &mut vec![]));
    }
    assert_eq!(stored, flipped.into_iter().collect::<Vec<_>>());
}
