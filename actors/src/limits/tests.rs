//! Decisions at all heights.

use super::*;
use crate::player::{IPV6_PREFIX, UserId};

const S: u64 = 1_000_000_000;
/// Later than any bucket of these tests fills from the start.
const LATER: u64 = 1_000_000 * S;

fn from(last: u8, user: Option<u64>) -> Who {
    let address = Address::of([192, 0, 2, last].into(), IPV6_PREFIX);
    Who { address: Some(address), user: user.and_then(UserId::new) }
}

/// Of checks: 4 at once for a user, 6 for an address, 10 for the node.
fn rates() -> Rates {
    Rates::default()
        .with(Height::User, Kind::Checks, Rate::new(1.0, 4))
        .with(Height::Address, Kind::Checks, Rate::new(1.0, 6))
        .with(Height::Node, Kind::Checks, Rate::new(1.0, 10))
}

fn refused(limits: &Limits, who: Who, now_ns: u64) -> Option<Refused> {
    limits.take(who, Kind::Checks, 1, &rates(), now_ns, Patience::Answer).err()
}

fn passed(limits: &Limits, who: Who, now_ns: u64) -> usize {
    (0..100).take_while(|_| refused(limits, who, now_ns).is_none()).count()
}

fn decided(limits: &Limits, key: &str, decision: &str) -> u64 {
    let labels: OfRule =
        [("rule", "checks".into()), ("key", key.into()), ("decision", decision.into())];
    limits.decisions.get_or_create_owned(&labels).get()
}

#[test]
fn whoever_is_over_at_any_height_is_refused_there_and_takes_nothing_below() {
    let limits = Limits::default();
    assert_eq!(passed(&limits, from(1, Some(7)), LATER), 4, "a user");
    let over = refused(&limits, from(2, Some(7)), LATER).expect("the same user elsewhere");
    assert_eq!((over.height, over.wait), (Height::User, Duration::from_secs(1)));
    assert_eq!(passed(&limits, from(2, Some(8)), LATER), 4, "its address lost nothing by that");
    // Address 1 has two left, address 2 as well, and the node has two.
    assert_eq!(passed(&limits, from(1, None), LATER), 2);
    let over = refused(&limits, from(2, None), LATER).expect("the node has none left");
    assert_eq!(over.height, Height::Node);
    assert_eq!(passed(&limits, from(2, None), LATER + S), 1, "address 2 had two left all the time");
}

#[test]
fn who_is_not_counted_meets_only_the_node() {
    let (limits, nobody) = (Limits::default(), Who { address: None, user: None });
    assert_eq!(passed(&limits, nobody, LATER), 10);
    assert_eq!(decided(&limits, "address", "allowed"), 0);
}

#[test]
fn decisions_are_counted_by_rule_and_height() {
    let limits = Limits::default();
    assert_eq!(passed(&limits, from(1, None), LATER), 6);
    // Of six, the last two leave less than a fifth.
    let counts = ["allowed", "near", "refused", "shadow"].map(|of| decided(&limits, "address", of));
    assert_eq!(counts, [4, 2, 1, 0]);
    assert_eq!(decided(&limits, "node", "refused"), 0);
}

#[test]
fn what_has_to_come_from_other_nodes_is_counted_when_it_has() {
    let leases = Arc::new(Leases::default());
    leases.reached(1);
    let limits = Limits::new(Some(leases.clone()));
    let ask = || limits.take(from(1, None), Kind::Checks, 1, &rates(), LATER, Patience::Answer);
    let counted = || ["allowed", "near", "refused"].map(|of| decided(&limits, "address", of));
    // A quarter of six is this node's own.
    assert_eq!(ask().map(|permit| limits.due(&permit, LATER)), Ok(Ok(())));
    let before = counted();
    let [first, second] = [ask(), ask()].map(|asked| asked.expect("it may come in time"));
    assert!(limits.due(&first, LATER).is_err());
    assert_eq!(counted(), before);
    limits.give_up(&first);
    limits.conclude(&first, Kind::Checks, false);
    for ask in leases.tick(LATER) {
        leases.answered(ask.key, lease::Answer { granted: 1, full_in_ns: S }, LATER);
    }
    assert_eq!(limits.due(&second, LATER), Ok(()), "nobody else waits for that");
    limits.conclude(&second, Kind::Checks, true);
    assert_eq!(counted(), [before[0], before[1] + 1, before[2] + 1]);
}

/// Whoever is refused further up leaves the line below, or others would wait for tokens that nobody will use.
#[test]
fn who_is_refused_at_the_node_gives_up_its_place_in_the_line_of_its_address() {
    let leases = Arc::new(Leases::default());
    leases.reached(1);
    let limits = Limits::new(Some(leases.clone()));
    let ask =
        |rates: &Rates| limits.take(from(1, None), Kind::Checks, 1, rates, LATER, Patience::Turn);
    let free = Rates::default().with(Height::Address, Kind::Checks, Rate::new(1.0, 6));
    let one_for_all = free.with(Height::Node, Kind::Checks, Rate::new(0.01, 1));
    assert_eq!(ask(&one_for_all).map(|permit| limits.due(&permit, LATER)), Ok(Ok(())));
    let over = ask(&one_for_all).expect_err("it has taken one already");
    assert_eq!(over.height, Height::Node);
    let next = ask(&free).expect("soon");
    for ask in leases.tick(LATER) {
        leases.answered(ask.key, lease::Answer { granted: 1, full_in_ns: S }, LATER);
    }
    assert_eq!(limits.due(&next, LATER), Ok(()), "the first token that comes is for it");
}

#[test]
fn a_limit_that_is_tried_refuses_nothing_and_counts_what_it_would() {
    let (limits, rates) = (Limits::default(), rates().shadow(true));
    for _ in 0..20 {
        let taken = limits.take(from(1, None), Kind::Checks, 1, &rates, LATER, Patience::Turn);
        assert_eq!(taken.map(|permit| permit.due_ns()), Ok(LATER));
    }
    assert_eq!(decided(&limits, "address", "refused"), 0);
    assert!(decided(&limits, "address", "shadow") > 0);
    assert!(limits.would_take(from(1, None), Kind::Checks, &rates, LATER).is_ok());
}

#[test]
fn what_is_left_to_an_address_comes_with_what_it_takes() {
    let (limits, rates) = (Limits::default(), rates());
    let take = |who| limits.take(who, Kind::Checks, 2, &rates, LATER, Patience::Answer);
    let taken = take(from(1, Some(7))).expect("there are four");
    let of_address = taken.of_address().expect("it is counted");
    assert_eq!(of_address, Taken { wait_ns: 0, full_in_ns: 2 * S });
    let nobody = Who { address: None, user: None };
    assert_eq!(take(nobody).expect("there are eight").of_address(), None);
}

#[test]
fn keys_that_find_no_room_are_counted() {
    let limits = Limits { keyed: KeyedBuckets::with_slots(1024), ..Limits::default() };
    for number in 0..5000_u32 {
        let address = Address::of(std::net::Ipv4Addr::from_bits(number).into(), IPV6_PREFIX);
        let who = Who { address: Some(address), user: None };
        let _ = limits.take(who, Kind::Requests, 1, &requests(), LATER, Patience::Answer);
    }
    assert!(limits.overflowed() >= 5000 - 1024, "{}", limits.overflowed());
}

/// Of requests: 2 at once for an address.
fn requests() -> Rates {
    Rates::default().with(Height::Address, Kind::Requests, Rate::new(1.0, 2))
}

#[test]
fn whether_nodes_share_is_known() {
    let leases = Arc::new(Leases::default());
    let sharing = Limits::new(Some(leases.clone()));
    assert!(sharing.leases().is_some_and(|held| Arc::ptr_eq(held, &leases)));
    assert!(Limits::default().leases().is_none());
}

#[test]
fn who_asks_whether_it_would_be_let_pass_takes_nothing() {
    let (limits, rates) = (Limits::default(), rates());
    let would = |who| limits.would_take(who, Kind::Checks, &rates, LATER);
    for _ in 0..100 {
        assert_eq!(would(from(1, None)), Ok(()));
    }
    assert_eq!(passed(&limits, from(1, None), LATER), 6);
    let refused = would(from(1, None)).expect_err("none is left");
    assert_eq!((refused.height, refused.wait), (Height::Address, Duration::from_secs(1)));
    assert_eq!(would(from(2, None)), Ok(()));
}

/// A session waits for its turn, whatever its neighbours do meanwhile.
#[test]
fn a_turn_comes_when_it_was_promised() {
    let limits = Limits::default();
    assert_eq!(passed(&limits, from(1, None), LATER), 6);
    let turn =
        |now_ns| limits.take(from(1, None), Kind::Checks, 1, &rates(), now_ns, Patience::Turn);
    let first = turn(LATER).expect("within five seconds");
    let second = turn(LATER).expect("within five seconds");
    assert_eq!(limits.due(&first, LATER), Err(LATER + S));
    assert_eq!(limits.due(&first, LATER + S), Ok(()));
    assert_eq!(limits.due(&second, LATER + S), Err(LATER + 2 * S));
    assert_eq!(refused(&limits, from(1, None), LATER + S).map(|over| over.wait.as_secs()), Some(2));
}

#[test]
fn what_is_shared_is_promised_until_it_is_granted() {
    let leases = Arc::new(Leases::default());
    leases.reached(2);
    let limits = Limits::new(Some(leases.clone()));
    let rates = Rates::default().with(Height::Address, Kind::Checks, Rate::new(10.0, 80));
    let turn = || limits.take(from(1, None), Kind::Checks, 1, &rates, LATER, Patience::Turn);
    let taken: Vec<_> = (0..12).map(|_| turn().expect("soon")).collect();
    let due = taken.iter().filter(|permit| limits.due(permit, LATER).is_ok()).count();
    assert_eq!(due, 10, "an eighth of the burst is this node's own");
    let counted = ["allowed", "near"].map(|of| decided(&limits, "address", of));
    assert_eq!(counted.iter().sum::<u64>(), 12, "who takes turns passes sooner or later");
    for ask in leases.tick(LATER) {
        let answer = lease::Answer { granted: ask.want, full_in_ns: S };
        leases.answered(ask.key, answer, LATER);
    }
    assert!(taken.iter().all(|permit| limits.due(permit, LATER).is_ok()));
    assert!(
        limits.full_in_ns(from(1, None), Height::Address, Kind::Checks, &rates, LATER) > Some(0)
    );
    // What guards the time of this node's threads it counts alone.
    let rates = rates.with(Height::Address, Kind::BytesIn, Rate::new(10.0, 80));
    let read = limits.take(from(1, None), Kind::BytesIn, 80, &rates, LATER, Patience::Turn);
    assert_eq!(read.map(|permit| permit.due_ns()), Ok(LATER));
}
