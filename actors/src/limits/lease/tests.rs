//! Nodes that share a pool, against the bound.

use proptest::prelude::*;

use super::*;
use crate::limits::Patience;

const MS: u64 = 1_000_000;
const S: u64 = 1000 * MS;
/// Later than any bucket of these tests fills from the start.
const LATER: u64 = 100_000 * S;
const ALICE: Key = Key { subject: 1, class: 0 };

/// What the script does in Redis, for one key after the other.
#[derive(Default)]
struct Pool(HashMap<Key, u64>);

impl Pool {
    fn ask(&mut self, ask: Ask, now: u64, alone_for: u64) -> Answer {
        let Ask { key, rate, want, back, alone } = ask;
        // Debited onto the instant as it was stored.
        let raw = self.0.get(&key).copied().unwrap_or(now - alone_for);
        let full_at = raw + rate.ns_of(alone.into());
        let full_at = full_at.max(now).saturating_sub(rate.ns_of(back.into())).max(now);
        let free = rate.tokens_in((now + rate.burst_ns()).saturating_sub(full_at));
        let granted = u64::from(want).min(free);
        let full_at = full_at + rate.ns_of(granted);
        self.0.insert(key, full_at);
        Answer { granted: granted as u32, full_in_ns: full_at - now }
    }
}

/// Nodes that share a pool.
struct Scene {
    nodes: Vec<Leases>,
    /// Since when a node has not reached the pool.
    cut: Vec<Option<u64>>,
    pool: Pool,
    rate: Rate,
    now: u64,
}

impl Scene {
    fn new(nodes: usize, rate: Rate) -> Self {
        let nodes: Vec<Leases> = (0..nodes).map(|_| Leases::default()).collect();
        for node in &nodes {
            node.reached(nodes.len() as u32);
        }
        let cut = vec![None; nodes.len()];
        Self { nodes, cut, pool: Pool::default(), rate, now: LATER }
    }

    /// The tick of one node.
    fn tick(&mut self, at: usize) {
        let node = &self.nodes[at];
        if self.cut[at].is_some() {
            return node.tick_alone(self.now);
        }
        for ask in node.tick(self.now) {
            let answer = self.pool.ask(ask, self.now, 0);
            node.answered(ask.key, answer, self.now);
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += MS;
            for at in 0..self.nodes.len() {
                // Each at a moment of its own.
                if (self.now / MS + 17 * at as u64).is_multiple_of(50) {
                    self.tick(at);
                }
            }
        }
    }

    fn take(&self, at: usize, tokens: u32, patience: Duration) -> Result<Outcome, Duration> {
        self.nodes[at].take(ALICE, self.rate, tokens, self.now, patience)
    }

    /// How many of those who ask at once, one after the other, are let pass at once.
    fn passed(&self, at: usize) -> usize {
        let asked = (0..10_000).map(|_| self.take(at, 1, Duration::ZERO));
        asked.take_while(Result::is_ok).count()
    }
}

fn is_now(outcome: &Result<Outcome, Duration>) -> bool {
    matches!(outcome, Ok(Outcome::Now(_)))
}

#[test]
fn who_comes_once_in_a_while_waits_for_nothing() {
    let mut scene = Scene::new(3, Rate::new(100.0, 400));
    for _ in 0..20 {
        assert!((0..20).all(|_| is_now(&scene.take(0, 1, Duration::ZERO))));
        scene.pass(1000);
    }
    assert_eq!(scene.nodes[0].keys(), 0, "and at rest nothing is kept of it");
    assert!(!scene.pool.0.is_empty());
}

#[test]
fn a_burst_passes_on_one_node_and_then_the_rate() {
    let mut scene = Scene::new(3, Rate::new(100.0, 400));
    let (mut passed, mut full) = (0, 0);
    for ms in 0..10_000 {
        // A thousand a second, each of whom waits for its turn.
        if let Ok(outcome) = scene.take(0, 1, Duration::from_secs(1)) {
            passed += 1;
            full += usize::from(matches!(outcome, Outcome::Now(_)));
        }
        if ms == 999 {
            // Its own part and what others do not hold; they keep a quarter between them.
            // Some of them wait for their turn, up to a second.
            assert!(passed > 330 && passed <= 400 + 100 + 100, "{passed}");
        }
        scene.pass(1);
    }
    assert!(passed <= 400 + 1000 + 100, "{passed}");
    assert!(passed >= 330 + 980, "98 % of a hot key are used: {passed}");
    assert!(full > 0);
}

#[test]
fn those_who_wait_take_turns() {
    let mut scene = Scene::new(1, Rate::new(100.0, 4));
    scene.passed(0);
    let tickets: Vec<_> =
        (0..20).map(|_| waits(scene.take(0, 1, Duration::from_secs(5)))).collect();
    let mut served = 0;
    for _ in 0..400 {
        scene.pass(1);
        let due = tickets.iter().take_while(|ticket| scene.nodes[0].is_due(**ticket)).count();
        assert!(due >= served && tickets[due..].iter().all(|t| !scene.nodes[0].is_due(*t)));
        served = due;
    }
    assert_eq!(served, 20);
}

fn waits(outcome: Result<Outcome, Duration>) -> Ticket {
    match outcome {
        Ok(Outcome::Later(ticket, _)) => ticket,
        other => panic!("{other:?}"),
    }
}

#[test]
fn places_that_are_given_up_are_skipped() {
    let mut scene = Scene::new(1, Rate::new(100.0, 4));
    scene.passed(0);
    let [a, b, c, d, e] =
        [1, 2, 1, 3, 1].map(|tokens| waits(scene.take(0, tokens, Duration::from_secs(5))));
    let node = &scene.nodes[0];
    let waiting = || node.shard(ALICE)[&ALICE].waiting();
    assert_eq!(waiting(), 8);
    [b, d, e].into_iter().for_each(|ticket| node.give_up(ticket));
    assert_eq!(waiting(), 2, "a and c");
    let come = |tokens| node.shard(ALICE).get_mut(&ALICE).expect("it is in use").grant(tokens);
    come(1);
    assert!(node.is_due(a) && !node.is_due(c), "one token has come");
    assert_eq!(waiting(), 1);
    come(1);
    assert!(node.is_due(c), "not the fourth, but the second of those who wait");
    assert_eq!(waiting(), 0);
    // What has come and is not wanted is had by whoever comes next.
    node.give_up(c);
    assert!(is_now(&scene.take(0, 1, Duration::ZERO)));
    assert!(scene.take(0, 1, Duration::ZERO).is_err());
    scene.pass(1000);
    assert_eq!(scene.nodes[0].keys(), 0, "and nothing of it is left");
}

#[test]
fn what_has_come_for_one_who_left_is_had_by_who_waits_behind() {
    let scene = Scene::new(1, Rate::new(100.0, 4));
    scene.passed(0);
    let [a, b] = [1, 1].map(|tokens| waits(scene.take(0, tokens, Duration::from_secs(5))));
    let node = &scene.nodes[0];
    node.shard(ALICE).get_mut(&ALICE).expect("it is in use").grant(1);
    assert!(node.is_due(a) && !node.is_due(b));
    node.give_up(a);
    assert!(node.is_due(b));
    assert!(scene.take(0, 1, Duration::ZERO).is_err(), "once");
}

/// Of a burst of 400 a quarter is held by nodes, and what grows in two ticks of 50 ms is kept.
#[test]
fn a_burst_is_parted_between_nodes_and_their_pool() {
    let rate = Rate::new(100.0, 400);
    for (nodes, own, pool) in [(0, 100, 289), (1, 100, 289), (3, 33, 290), (400, 0, 389)] {
        assert_eq!((own_part(rate, nodes), pool_burst(rate, nodes)), (own, pool), "{nodes}");
    }
    // What grows in one is there in any case.
    assert_eq!(pool_burst(Rate::new(1000.0, 10), 3), 51);
}

/// As much again as was used in the last tick is drawn ahead, and goes back if it was not.
#[test]
fn what_is_asked_for_is_what_was_taken_what_is_waited_for_and_as_much_again() {
    let (node, rate) = (Leases::default(), Rate::new(100.0, 400));
    node.reached(1);
    let take = |tokens, now, patience| node.take(ALICE, rate, tokens, now, patience);
    let ask = |now, wanted: Option<(u32, u32)>| {
        let asks = node.tick(now);
        assert_eq!(asks.first().map(|ask| (ask.want, ask.back)), wanted, "at {now}");
        assert!(asks.iter().all(|ask| ask.rate == rate.with_burst(289) && ask.alone == 0));
    };
    let answer = |granted, now| node.answered(ALICE, Answer { granted, full_in_ns: 0 }, now);
    assert!(is_now(&take(30, LATER, Duration::ZERO)));
    ask(LATER, Some((60, 0)));
    ask(LATER, None);
    answer(60, LATER);
    // 130 are held, and 10 were used: the next may use 110.
    assert!(is_now(&take(10, LATER, Duration::ZERO)));
    ask(LATER, Some((0, 10)));
    answer(0, LATER);
    ask(LATER, Some((0, 10)));
    answer(0, LATER);
    assert!(is_now(&take(100, LATER, Duration::ZERO)));
    let later = take(7, LATER, Duration::from_secs(5));
    assert!(matches!(later, Ok(Outcome::Later(..))));
    ask(LATER, Some((7 + 100 + 107, 0)));
    // The pool has run dry: a tick's worth later there is something.
    answer(50, LATER);
    ask(LATER + 50 * MS - 1, None);
    ask(LATER + 50 * MS, Some((57, 0)));
    answer(57, LATER);
    ask(LATER + 50 * MS, None);
    assert_eq!(node.keys(), 0, "it holds its own part, and nobody waits");
}

#[test]
fn what_a_bucket_lacks_is_known_from_its_own_part_and_from_the_pool() {
    let (node, rate) = (Leases::default(), Rate::new(100.0, 40));
    node.reached(1);
    assert_eq!(node.full_in_ns(ALICE, LATER), 0);
    node.take(ALICE, rate, 3, LATER, Duration::ZERO).expect("its own part is ten");
    assert_eq!(node.full_in_ns(ALICE, LATER), 30 * MS);
    node.take(ALICE, rate, 7, LATER, Duration::ZERO).expect("the rest");
    let outcome = node.take(ALICE, rate, 2, LATER, Duration::from_secs(1));
    let Ok(Outcome::Later(_, taken)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(taken.full_in_ns, 120 * MS);
    node.tick(LATER);
    node.answered(ALICE, Answer { granted: 2, full_in_ns: 500 * MS }, LATER);
    assert_eq!(node.full_in_ns(ALICE, LATER), 600 * MS);
    assert_eq!(node.full_in_ns(ALICE, LATER + 200 * MS), 400 * MS);
}

/// Its own part, and what is waited for, is all that fits; what has not grown to a token stays.
#[test]
fn alone_tokens_grow_up_to_the_own_part_and_those_who_wait() {
    let (node, rate) = (Leases::default(), Rate::new(90.0, 360));
    node.reached(3);
    node.tick_alone(LATER);
    let asked = (0..3).map(|_| node.take(ALICE, rate, 1, LATER, Duration::from_secs(5)));
    let tickets: Vec<_> = asked.map(waits).collect();
    let free = |now| {
        (0..99).take_while(|_| is_now(&node.take(ALICE, rate, 1, now, Duration::ZERO))).count()
    };
    // Thirty a second of their own: two and a half.
    let now = LATER + 84 * MS;
    node.tick_alone(now);
    assert_eq!([0, 1, 2].map(|at| node.is_due(tickets[at])), [true, true, false]);
    let now = LATER + 101 * MS;
    node.tick_alone(now);
    assert!(node.is_due(tickets[2]));
    assert_eq!(free(now), 0);
    node.take(ALICE, rate, 4, now, Duration::from_secs(5)).expect("it waits");
    let now = now + 10 * S;
    node.tick_alone(now);
    assert_eq!(free(now), 30);
    node.reached(3);
    let ask = node.tick(now)[0];
    assert_eq!(ask.alone, 37, "all of them are debited");
}

/// Each asks once and goes away if it is not answered in time, as HTTP does.
#[test]
fn a_flood_is_over_when_nobody_asks_any_more() {
    let patience = Patience::Answer.longest();
    let mut scene = Scene::new(2, Rate::new(50.0, 100));
    let (mut waiting, mut passed) = (std::collections::VecDeque::new(), 0);
    for _ in 0..5000 {
        match scene.take(0, 1, patience) {
            Ok(Outcome::Now(_)) => passed += 1,
            Ok(Outcome::Later(ticket, _)) => {
                waiting.push_back((scene.now + patience.as_nanos() as u64, ticket));
            }
            Err(_) => {}
        }
        scene.pass(1);
        waiting.retain(|(_, ticket)| {
            let is_due = scene.nodes[0].is_due(*ticket);
            passed += usize::from(is_due);
            !is_due
        });
        while waiting.front().is_some_and(|(until, _)| *until <= scene.now) {
            let (_, ticket) = waiting.pop_front().expect("it was there");
            scene.nodes[0].give_up(ticket);
        }
    }
    assert!(passed <= 100 + 250 + 1, "{passed}");
    assert!(passed >= 300, "what there was did not go to those who had left: {passed}");
    waiting.drain(..).for_each(|(_, ticket)| scene.nodes[0].give_up(ticket));
    scene.pass(100);
    for at in [0, 1] {
        let asked = scene.take(at, 1, patience);
        scene.pass(150);
        let has_come = |ticket: &Ticket| scene.nodes[at].is_due(*ticket);
        let is_in = matches!(&asked, Ok(Outcome::Now(_)))
            || matches!(&asked, Ok(Outcome::Later(ticket, _)) if has_come(ticket));
        assert!(is_in, "{asked:?} at {at}");
    }
}

#[test]
fn a_node_that_has_just_started_holds_nothing() {
    let (node, rate) = (Leases::default(), Rate::new(1.0, 400));
    node.reached(2);
    let asked = node.take(ALICE, rate, 1, S, Duration::ZERO);
    assert_eq!(asked, Err(TICK), "it has to ask");
}

#[test]
fn a_node_that_is_alone_gives_its_share_and_debits_it_when_it_is_back() {
    let rate = Rate::new(90.0, 360);
    let mut scene = Scene::new(3, rate);
    scene.cut[2] = Some(scene.now);
    scene.pass(50);
    let held = scene.passed(2);
    assert_eq!(held, 0, "unknown while alone: nothing to begin with");
    let mut passed = 0;
    for _ in 0..10_000 {
        passed += usize::from(is_now(&scene.take(2, 1, Duration::ZERO)));
        scene.pass(1);
    }
    assert!((295..=300).contains(&passed), "a third of the rate: {passed}");
    // The others have all of it meanwhile, less nothing: what the node gave is debited later.
    scene.cut[2] = None;
    scene.nodes[2].reached(3);
    scene.pass(100);
    let owed = scene.pool.0[&ALICE].saturating_sub(scene.now);
    assert!(owed > 3 * S && owed <= rate.burst_ns(), "{owed}");
}

#[test]
fn a_call_that_is_lost_gives_nothing_away() {
    let mut scene = Scene::new(1, Rate::new(100.0, 40));
    scene.passed(0);
    scene.now += 50 * MS;
    for ask in scene.nodes[0].tick(scene.now) {
        // Taken out there, and never heard of.
        scene.pool.ask(ask, scene.now, 0);
        scene.nodes[0].unanswered(ask.key);
    }
    assert_eq!(scene.passed(0), 0);
    scene.pass(2000);
    assert!(scene.passed(0) > 0, "and it goes on");
}

#[test]
fn keys_are_bounded_and_those_beyond_share_one() {
    let (node, rate) = (Leases::default(), Rate::new(1.0, 40));
    node.reached(1);
    let passed = (0..KEYS_MAX as u64 + 5000).filter(|subject| {
        let key = Key { subject: *subject, class: 1 };
        is_now(&node.take(key, rate, 1, LATER, Duration::ZERO))
    });
    assert_eq!(passed.count(), KEYS_MAX + 10, "their own parts, and one more");
    assert_eq!(node.keys(), KEYS_MAX + 1);
}

/// What happens among nodes.
#[derive(Debug, Clone)]
enum Happening {
    Ask { node: usize, tokens: u32, patient: bool },
    Pass(u64),
    GiveUp(usize),
    Restart(usize),
    Lose(usize),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        12 => (0_usize..3, 1_u32..4, any::<bool>())
            .prop_map(|(node, tokens, patient)| Happening::Ask { node, tokens, patient }),
        6 => (1_u64..120).prop_map(Happening::Pass),
        6 => any::<usize>().prop_map(Happening::GiveUp),
        1 => (0_usize..3).prop_map(Happening::Restart),
        1 => (0_usize..3).prop_map(Happening::Lose),
    ];
    let many = (happening, 1_usize..60).prop_map(|(one, times)| match one {
        Happening::Ask { .. } => vec![one; times],
        one => vec![one],
    });
    prop::collection::vec(many, 1..60).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// While nodes restart, and calls are lost with their answers.
    #[test]
    fn no_stretch_of_time_sees_more_than_the_burst_and_what_grew_in_it(
        happenings in happenings(),
        rate in prop::sample::select(vec![(100, 400), (20, 200), (50, 60), (2, 30), (400, 120)]),
    ) {
        let (per_second, burst) = rate;
        let mut scene = Scene::new(3, Rate::new(f64::from(per_second), burst));
        // When and how many, and who still waits.
        let (mut had, mut waiting) = (Vec::new(), Vec::new());
        for happening in happenings {
            match happening {
                Happening::Ask { node, tokens, patient } => {
                    let patience = Duration::from_secs(if patient { 5 } else { 0 });
                    match scene.take(node, tokens, patience) {
                        Ok(Outcome::Now(_)) => had.push((scene.now, tokens)),
                        Ok(Outcome::Later(ticket, _)) => waiting.push((node, ticket, tokens)),
                        Err(_) => {}
                    }
                }
                Happening::Pass(ms) => {
                    for _ in 0..ms {
                        scene.pass(1);
                        let now = scene.now;
                        waiting.retain(|(node, ticket, tokens)| {
                            let is_due = scene.nodes[*node].is_due(*ticket);
                            had.extend(is_due.then_some((now, *tokens)));
                            !is_due
                        });
                    }
                }
                Happening::GiveUp(which) if !waiting.is_empty() => {
                    let (node, ticket, _) = waiting.remove(which % waiting.len());
                    scene.nodes[node].give_up(ticket);
                }
                Happening::GiveUp(_) => {}
                Happening::Restart(node) => {
                    waiting.retain(|(of, _, _)| *of != node);
                    let fresh = Leases::default();
                    fresh.reached(3);
                    // Its clock has just begun: it holds nothing.
                    fresh.tick_alone(scene.now);
                    let _ = fresh.take(ALICE, scene.rate, 1, scene.now, Duration::ZERO);
                    fresh.reached(3);
                    scene.nodes[node] = fresh;
                }
                Happening::Lose(node) => {
                    for ask in scene.nodes[node].tick(scene.now) {
                        scene.pool.ask(ask, scene.now, 0);
                        scene.nodes[node].unanswered(ask.key);
                    }
                }
            }
        }
        for first in 0..had.len() {
            let (from, mut sum) = (had[first].0, 0);
            for (at, tokens) in &had[first..] {
                sum += u64::from(*tokens);
                let grown = (at - from) as f64 * f64::from(per_second) / 1e9;
                let most = f64::from(burst) + grown + 1.0;
                prop_assert!(sum as f64 <= most, "{sum} of {most} from {from} to {at}");
            }
        }
    }
}
