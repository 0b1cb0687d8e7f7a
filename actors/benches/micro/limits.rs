//! What a decision costs: by a table of fixed size, and at all heights, beside one look-up in a sharded map of as many
//! keys.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    hint::black_box,
    sync::Mutex,
};

use actors::{
    limits::{
        Height, Kind, Limits, Patience, Rates,
        bucket::TokenBucket,
        keyed::{Key, KeyedBuckets},
        rate::Rate,
    },
    player::{Address, IPV6_PREFIX, UserId, Who},
};
use criterion::{Criterion, Throughput};

use crate::scattered;

/// Keys that are in use at once.
const KEYS: u32 = 1_000_000;

/// Decisions of one measurement.
const DECISIONS: usize = 1 << 16;

/// Later than any bucket here fills from the start.
const LATER: u64 = 1_000_000_000_000_000;

/// What most would take: locks, each over a map.
struct ShardedMap {
    shards: Vec<Mutex<HashMap<u128, u64>>>,
    hasher: RandomState,
}

impl ShardedMap {
    fn full() -> Self {
        let map = Self {
            shards: (0..64).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        };
        (0..KEYS).for_each(|key| map.look_up(u128::from(key)));
        map
    }

    fn look_up(&self, key: u128) {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % 64];
        *shard.lock().expect("nothing panics").entry(key).or_insert(0) += 1;
    }
}

fn address(number: u32) -> Address {
    Address::of(std::net::Ipv4Addr::from_bits(number).into(), IPV6_PREFIX)
}

/// One look-up, one decision of one key, and one at all heights.
pub fn group(criterion: &mut Criterion) {
    let mut of_limits = criterion.benchmark_group("limits");
    of_limits.throughput(Throughput::Elements(DECISIONS as u64));
    let asked: Vec<u32> = scattered(KEYS).take(DECISIONS).collect();

    let map = ShardedMap::full();
    of_limits.bench_function("a look-up in a sharded map of a million keys", |bencher| {
        bencher.iter(|| asked.iter().for_each(|key| map.look_up(u128::from(*key))));
    });

    let (table, rate) = (KeyedBuckets::default(), Rate::new(100.0, 400));
    let key = |subject: u32| Key { subject: subject.into(), class: 0 };
    (0..KEYS).for_each(|subject| _ = table.take(key(subject), rate, 400, LATER, false));
    of_limits.bench_function("a decision by the table, a million keys", |bencher| {
        bencher.iter(|| {
            asked.iter().for_each(|subject| {
                let _ = black_box(table.take(key(*subject), rate, 1, LATER, true));
            });
        });
    });

    let limits = Limits::default();
    let rates = Rates::default()
        .with(Height::Address, Kind::Checks, rate)
        .with(Height::User, Kind::Checks, Rate::new(20.0, 40))
        .with(Height::Node, Kind::Checks, Rate::new(1e9, u32::MAX));
    let who =
        |number: u32| Who { address: Some(address(number)), user: UserId::new(number.into()) };
    let connection = TokenBucket::default();
    let decide = |number: u32| {
        let own = connection.take(Rate::new(1e9, u32::MAX), 1, LATER);
        let others = limits.take(who(number), Kind::Checks, 1, &rates, LATER, Patience::Turn);
        black_box((own.is_ok(), others.is_ok()));
    };
    (0..KEYS / 2).for_each(decide);
    let asked: Vec<u32> = scattered(KEYS / 2).take(DECISIONS).collect();
    of_limits.bench_function("a decision at all heights, a million keys", |bencher| {
        bencher.iter(|| asked.iter().copied().for_each(decide));
    });
    of_limits.finish();
}
