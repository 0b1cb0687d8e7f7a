//! A conversation against a model of the protocol's sentences: what a client asks is neither lost nor doubled, is asked
//! in its order and not faster than allowed, and ranges are answered in the order of their requests.

use std::{collections::VecDeque, rc::Rc};

use proptest::prelude::*;

use super::*;
use crate::{board::Board, limits::bucket::TokenBucket};

const MS: u64 = 1_000_000;
const BOXES: u32 = 1000;
/// Most range requests without an answer.
const OUTSTANDING: usize = 3;

/// What happens to a client.
#[derive(Debug, Clone)]
enum Happening {
    /// It sends a check.
    Check(u32),
    /// It sends a range request.
    Range(u32),
    /// Time passes.
    Pass(u64),
    /// The shards have room, or none any more.
    Room(bool),
    /// A shard answers one of the requests that are on their way.
    Answer(usize),
    /// It has missed something, and its outbox is empty again.
    Miss,
    /// Somebody ends the connection.
    End,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        4 => (1..=BOXES).prop_map(Happening::Check),
        3 => (1..=BOXES).prop_map(Happening::Range),
        3 => (0..400_u64).prop_map(Happening::Pass),
        2 => any::<bool>().prop_map(Happening::Room),
        4 => any::<usize>().prop_map(Happening::Answer),
        1 => Just(Happening::Miss),
    ];
    let end = prop::option::weighted(0.3, any::<prop::sample::Index>());
    (prop::collection::vec(happening, 1..120), end).prop_map(|(mut happenings, end)| {
        if let Some(at) = end {
            happenings.insert(at.index(happenings.len()), Happening::End);
        }
        happenings
    })
}

/// Messages of all clients of an address.
struct Others {
    bucket: Rc<TokenBucket>,
    rate: Rate,
}

impl Others {
    fn at(&self, now_ns: u64) -> OthersNow<'_> {
        OthersNow { bucket: &self.bucket, rate: self.rate, now_ns }
    }
}

struct OthersNow<'a> {
    bucket: &'a TokenBucket,
    rate: Rate,
    now_ns: u64,
}

impl Turns for OthersNow<'_> {
    fn take(&self, _: &ClientMessage) -> Result<Permit, Duration> {
        let taken = self.bucket.reserve(self.rate, 1, self.now_ns)?;
        Ok(Permit::at(self.now_ns + taken.wait_ns))
    }

    fn due(&self, permit: &Permit) -> Result<(), u64> {
        if permit.due_ns() <= self.now_ns { Ok(()) } else { Err(permit.due_ns()) }
    }
}

/// A client, its conversation and the shards, as the shell brings them together.
struct Scene {
    board: Board,
    limits: Limits,
    stats: Stats,
    conversation: Conversation,
    buckets: Buckets,
    others: Others,
    now_ns: u64,
    has_room: bool,
    /// Sent and not looked at yet.
    sent: VecDeque<ClientMessage>,
    /// Looked at, oldest first.
    messages: Vec<ClientMessage>,
    /// With the shards, each with the number of resyncs before it.
    asked: Vec<(Request, u32)>,
    /// Of those, range requests that were not answered yet.
    under_way: Vec<(u32, u32)>,
    /// Places of answers that the client was given, each with the number of resyncs before it.
    answered: Vec<(u32, u32)>,
    refused: Vec<(u32, Refusal)>,
    /// Looked at, and given up with the connection.
    given_up: usize,
    /// What the last resync has to ask for again, and how many were refused before it.
    missed: (Vec<Request>, usize),
    /// Own checks without an answer, of a `v=2` client.
    own: Vec<BoxId>,
    /// What it looks at.
    looks: Vec<BoxRange>,
    resyncs: u32,
    closed: Option<Close>,
}

impl Scene {
    fn new(version: Version) -> Self {
        Self {
            board: Board::new("test", BOXES, 1).expect("a legal board"),
            limits: Limits {
                checks: Rate::new(10.0, 4),
                ranges: Rate::new(20.0, 6),
                patience: Duration::from_millis(500),
            },
            stats: Stats::default(),
            conversation: Conversation::new(version),
            buckets: Buckets::default(),
            others: Others { bucket: Rc::default(), rate: Rate::UNLIMITED },
            now_ns: 7 * MS,
            has_room: true,
            sent: VecDeque::new(),
            messages: Vec::new(),
            asked: Vec::new(),
            under_way: Vec::new(),
            answered: Vec::new(),
            refused: Vec::new(),
            given_up: 0,
            missed: (Vec::new(), 0),
            own: Vec::new(),
            looks: Vec::new(),
            resyncs: 0,
            closed: None,
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Ask(request) => {
                match request {
                    Request::Check(id) if self.own.contains(&id) => {}
                    Request::Check(id) => self.own.push(id),
                    Request::Range(range, _) => self.looks.push(range),
                }
                self.ask(request);
            }
            Effect::Refuse(id, reason) => {
                self.refused.push((id.get(), reason));
                if reason == Refusal::Busy {
                    self.own.retain(|own| *own != id);
                }
            }
            Effect::Close(close) => {
                self.given_up += 1;
                self.end(close);
            }
            Effect::Wait => assert!(self.conversation.is_held()),
        }
    }

    fn end(&mut self, close: Close) {
        self.closed = Some(close);
        self.conversation.end();
    }

    fn ask(&mut self, request: Request) {
        assert_eq!(self.closed, None, "nothing is asked for a client that was told goodbye");
        if self.has_room {
            self.take(request);
        } else {
            let (limits, now_ns) = (self.limits, self.now_ns);
            self.conversation.found_no_room(request, &limits, now_ns, &self.stats);
        }
    }

    fn take(&mut self, request: Request) {
        self.asked.push((request, self.resyncs));
        if let Request::Range(_, sequence) = request {
            self.under_way.push((sequence, self.resyncs));
        }
    }

    /// What the shell does in a turn.
    fn turn(&mut self) {
        loop {
            match self.conversation.next(self.now_ns) {
                Next::Rest => {
                    let is_free = self.conversation.outstanding() < OUTSTANDING;
                    if !is_free || self.closed.is_some() {
                        return;
                    }
                    let Some(message) = self.sent.pop_front() else { return };
                    self.messages.push(message);
                    self.accept(message);
                }
                Next::At(at_ns) => {
                    assert!(at_ns > self.now_ns, "what is due is not waited for");
                    return;
                }
                Next::Accept(message) => self.accept(message),
                Next::Turn(permit) => match self.others.at(self.now_ns).due(&permit) {
                    Ok(()) => {
                        let effect = self.conversation.turn_has_come(&self.stats);
                        self.perform(effect);
                    }
                    Err(at_ns) => {
                        assert!(at_ns > self.now_ns, "what is due is not waited for");
                        return;
                    }
                },
                Next::Try(request, _) if self.has_room => {
                    self.conversation.found_room();
                    self.take(request);
                }
                Next::Try(_, until_ns) if self.now_ns < until_ns => return,
                Next::Try(..) => {
                    let effect = self.conversation.give_up();
                    self.perform(effect);
                }
                Next::AskAgain(request) => self.ask(request),
            }
        }
    }

    fn accept(&mut self, message: ClientMessage) {
        let moment = Moment {
            now_ns: self.now_ns,
            limits: &self.limits,
            buckets: &self.buckets,
            turns: &self.others.at(self.now_ns),
            stats: &self.stats,
        };
        let effect = self.conversation.accept(message, &moment);
        self.perform(effect);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Check(raw) => {
                let id = self.board.box_id(raw).expect("a box");
                self.send(ClientMessage::Check(id));
            }
            Happening::Range(first) => {
                let range = self.board.range(first, first).expect("a range");
                self.send(ClientMessage::Range(range));
            }
            Happening::Pass(ms) => self.now_ns += ms * MS,
            Happening::Room(has_room) => self.has_room = has_room,
            Happening::Answer(which) => {
                if self.under_way.is_empty() {
                    return;
                }
                let (sequence, resyncs) = self.under_way.swap_remove(which % self.under_way.len());
                let frame = Bytes::from(sequence.to_string());
                for frame in self.conversation.answered(sequence, frame) {
                    let given = std::str::from_utf8(&frame).expect("text").parse();
                    assert_eq!(resyncs, self.resyncs, "nothing of before a resync is told");
                    assert_eq!(self.closed, None, "nor anything after the end");
                    self.answered.push((given.expect("a place"), resyncs));
                }
            }
            Happening::Miss
                if self.conversation.version == Version::V2 && self.closed.is_none() =>
            {
                self.resyncs += 1;
                let looks = self.looks.iter().map(|range| Request::Range(*range, 0));
                let missed = looks.chain(self.own.iter().copied().map(Request::Check));
                self.missed = (missed.collect(), self.refused.len());
                self.conversation.resync(self.looks.clone(), self.own.clone());
            }
            Happening::End if self.closed.is_none() => {
                self.given_up += self.messages_held();
                self.end(Close::GOING_AWAY);
            }
            Happening::Miss | Happening::End => {}
        }
        self.turn();
    }

    /// A client that is not read is not looked at: its messages wait in its socket.
    fn send(&mut self, message: ClientMessage) {
        self.sent.push_back(message);
    }

    /// What was looked at and did not come to a shard: held, refused, or given up with the connection.
    fn account(&self) {
        let refused = self.refused.len();
        let held = self.messages_held();
        // A resync asks for what was asked before; those that only it has asked are not counted.
        let own = self.messages.len();
        let asked = self.asked.iter().filter(|(_, resyncs)| *resyncs == 0).count();
        if self.resyncs == 0 {
            assert_eq!(asked + refused + held + self.given_up, own, "each message has one fate");
            let mut in_order = self.messages.iter();
            for (request, _) in &self.asked {
                let is_it = |message: &ClientMessage| match *message {
                    ClientMessage::Check(id) => is_same(&Request::Check(id), request),
                    ClientMessage::Range(range) => is_same(&Request::Range(range, 0), request),
                };
                assert!(in_order.any(is_it), "asked in the order of coming");
            }
        }
        self.account_for_waiting();
        for pair in self.answered.windows(2) {
            let ((before, earlier), (after, later)) = (pair[0], pair[1]);
            assert!(earlier <= later && before < after, "in order, each once");
        }
    }

    /// One that is only slowed holds none.
    fn messages_held(&self) -> usize {
        let held = self.conversation.held.as_deref();
        usize::from(held.is_some_and(|held| !matches!(held, Held::Slowed { .. })))
    }

    fn account_for_waiting(&self) {
        let gauges = [&self.stats.sessions_paused, &self.stats.sessions_throttled];
        let waiting: i64 = gauges.map(|gauge| gauge.get()).iter().sum();
        let held = i64::from(self.conversation.is_held());
        assert_eq!(waiting, held, "who waits is counted, once");
    }

    /// Everything gets room, time and answers; then nothing may be left.
    fn come_to_rest(&mut self) {
        self.has_room = true;
        for _ in 0..2_000 {
            if self.closed.is_some() {
                return;
            }
            self.now_ns += 100 * MS;
            self.turn();
            self.happen(Happening::Answer(0));
        }
        assert!(self.sent.is_empty() && !self.conversation.is_held(), "nothing is held for ever");
        assert_eq!(self.conversation.outstanding(), 0, "every range was answered");
        assert!(self.conversation.may_go_on());
    }
}

fn plays(version: Version, happenings: Vec<Happening>, is_crowded: bool) {
    let mut scene = Scene::new(version);
    if is_crowded {
        scene.others.rate = Rate::new(12.0, 3);
    }
    let began_ns = scene.now_ns;
    for happening in happenings {
        scene.happen(happening);
        scene.account();
    }
    scene.come_to_rest();
    scene.account();
    if scene.resyncs == 0 {
        let checks = scene.asked.iter().filter(|(request, _)| matches!(request, Request::Check(_)));
        let most = 4 + (scene.now_ns - began_ns) / (100 * MS) + 1;
        assert!(checks.count() as u64 <= most, "the burst, and ten a second");
    } else if scene.closed.is_none() {
        // The last resync has asked for everything that was looked at or not answered before it, in its order, but
        // for what found no room in time.
        let (missed, before) = &scene.missed;
        let refused = &scene.refused[*before..];
        let is_refused = |request: &Request| match request {
            Request::Check(id) => refused.contains(&(id.get(), Refusal::Busy)),
            Request::Range(..) => false,
        };
        let last = scene.asked.iter().filter(|(_, resyncs)| *resyncs == scene.resyncs);
        let mut last = last.map(|(request, _)| request);
        for request in missed.iter().filter(|request| !is_refused(request)) {
            assert!(last.any(|asked| is_same(asked, request)), "{request:?} was not asked again");
        }
    }
}

/// Whether both ask for the same, whichever place the answer has.
fn is_same(one: &Request, other: &Request) -> bool {
    match (one, other) {
        (Request::Check(one), Request::Check(other)) => one == other,
        (Request::Range(one, _), Request::Range(other, _)) => one == other,
        _ => false,
    }
}

proptest! {
    #[test]
    fn nothing_a_plain_client_asks_is_lost_or_doubled(
        happenings in happenings(),
        is_crowded: bool,
    ) {
        plays(Version::Plain, happenings, is_crowded);
    }

    #[test]
    fn nothing_a_scoped_client_asks_is_lost_or_doubled(
        happenings in happenings(),
        is_crowded: bool,
    ) {
        plays(Version::V2, happenings, is_crowded);
    }
}

fn one(version: Version) -> Scene {
    Scene::new(version)
}

#[test]
fn who_would_wait_too_long_for_a_token_is_turned_away() {
    let mut scene = one(Version::Plain);
    scene.limits.checks = Rate::new(0.1, 1);
    scene.happen(Happening::Check(1));
    scene.happen(Happening::Check(2));
    assert_eq!(scene.closed, Some(Close::RATE), "ten seconds are more than five");
    let mut scene = one(Version::V2);
    scene.limits.checks = Rate::new(0.1, 1);
    scene.happen(Happening::Check(1));
    scene.happen(Happening::Check(2));
    assert_eq!((scene.closed, scene.refused), (None, vec![(2, Refusal::Rate)]));
}

/// Several clients of one address, of which each sends more than all of them may.
#[test]
fn those_of_one_address_take_turns_and_nobody_is_closed_for_a_neighbour() {
    let bucket = Rc::<TokenBucket>::default();
    let mut scenes: Vec<_> = [Version::Plain, Version::Plain, Version::V2, Version::Plain]
        .map(|version| {
            let mut scene = one(version);
            scene.others = Others { bucket: bucket.clone(), rate: Rate::new(10.0, 2) };
            scene
        })
        .into();
    for _ in 0..100 {
        for scene in &mut scenes {
            scene.happen(Happening::Check(1));
        }
    }
    for _ in 0..2000 {
        for scene in &mut scenes {
            scene.happen(Happening::Pass(10));
            scene.account_for_waiting();
        }
    }
    let asked: Vec<_> = scenes.iter().map(|scene| scene.asked.len()).collect();
    assert!(asked.iter().all(|asked| (50..=51).contains(asked)), "a quarter of ten: {asked:?}");
    assert!(scenes.iter().all(|scene| scene.closed.is_none() && scene.refused.is_empty()));
}

/// Or others of its address would wait behind somebody who has left.
#[test]
fn who_ends_while_it_waits_for_its_turn_leaves_it() {
    let mut scene = one(Version::V2);
    scene.others = Others { bucket: Rc::default(), rate: Rate::new(10.0, 1) };
    scene.happen(Happening::Check(1));
    assert_eq!(scene.conversation.end(), None, "it waits for nothing");
    scene.happen(Happening::Check(2));
    let turn = scene.conversation.end().expect("the second of two where one may pass");
    assert!(turn.due_ns() > scene.now_ns);
    assert_eq!(scene.conversation.end(), None, "once");
}

#[test]
fn who_is_refused_too_often_is_read_more_slowly() {
    let mut scene = one(Version::V2);
    for _ in 0..1000 {
        scene.happen(Happening::Check(1));
    }
    let looked_at = scene.messages.len();
    assert_eq!(
        (looked_at, scene.asked.len()),
        (4 + 21, 4),
        "four pass, twenty are refused at once, and one more"
    );
    for _ in 0..100 {
        scene.happen(Happening::Pass(100));
    }
    let (looked_at, asked) = (scene.messages.len() - looked_at, scene.asked.len());
    assert!(asked <= 4 + 100 && (100..=200).contains(&looked_at), "{asked} of {looked_at}");
}

#[test]
fn a_request_without_room_is_given_up_when_its_time_has_come_and_not_before() {
    for version in [Version::Plain, Version::V2] {
        let mut scene = one(version);
        scene.happen(Happening::Room(false));
        scene.happen(Happening::Check(5));
        scene.happen(Happening::Pass(499));
        assert!(scene.conversation.is_held() && scene.closed.is_none());
        scene.happen(Happening::Pass(1));
        assert!(!scene.conversation.is_held());
        match version {
            Version::Plain => assert_eq!(scene.closed, Some(Close::BUSY)),
            Version::V2 => assert_eq!(scene.refused, [(5, Refusal::Busy)]),
        }
    }
}

/// The request that was held used to be refused, and then asked again all the same.
#[test]
fn what_is_held_when_a_client_is_resynced_is_refused_or_asked_and_not_both() {
    let mut scene = one(Version::V2);
    scene.happen(Happening::Room(false));
    scene.happen(Happening::Check(5));
    scene.happen(Happening::Pass(499));
    scene.happen(Happening::Miss);
    scene.happen(Happening::Pass(499));
    assert_eq!((scene.refused.len(), scene.asked.len()), (0, 0), "its time begins anew");
    scene.happen(Happening::Pass(1));
    scene.happen(Happening::Room(true));
    assert_eq!((scene.refused.len(), scene.asked.len()), (1, 0));
}

#[test]
fn a_resync_asks_again_for_what_is_looked_at_and_for_own_checks_first() {
    let mut scene = one(Version::V2);
    scene.happen(Happening::Range(10));
    scene.happen(Happening::Check(3));
    scene.happen(Happening::Miss);
    scene.happen(Happening::Check(4));
    let asked: Vec<_> = scene.asked.iter().filter(|(_, resyncs)| *resyncs == 1).collect();
    let id = |raw| scene.board.box_id(raw).expect("a box");
    let range = scene.board.range(10, 10).expect("a range");
    let expected = [Request::Range(range, 1), Request::Check(id(3)), Request::Check(id(4))];
    assert_eq!(asked.iter().map(|(request, _)| *request).collect::<Vec<_>>(), expected);
    // The answer from before finds nobody who waits for it.
    scene.happen(Happening::Answer(0));
    assert!(scene.answered.is_empty());
}
