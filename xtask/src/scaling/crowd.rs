//! Who looks where: one second of a crowd over the map, interval by interval, to count the flushes
//! that formulas get wrong.
//!
//! Places are popular by Zipf's law, and people check boxes where they look. So a typical session
//! looks at a busier place than the average tile, and several updates share a flush there, while
//! others see nothing for minutes: neither shows in an average. What tames it is that a tile has
//! 100,000 boxes: where it is busier than that, people go on next door.

use super::dice::Dice;

/// Tiles of a billion boxes; the page lays them out 100 wide.
const TILES: usize = 10_000;
const TILE_BOXES: f64 = 100_000.;
const COLUMNS: usize = 100;

/// Key ranges that Redis keeps, each a row of adjacent tiles: `shards.count`.
pub const KEY_RANGES: usize = 50;

/// Sessions that are followed; their average is off by some per cent.
const SAMPLE: usize = 10_000;

/// What people do.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Of all players together, a second.
    pub checks: f64,
    /// Of one player, a second.
    pub own_checks: f64,
    /// Tiles that a session looks at.
    pub watching: usize,
    /// Exponent of Zipf's law; 0: everybody somewhere else.
    pub zipf: f64,
    /// Between two flushes.
    pub interval_s: f64,
    /// How long a player stays: no tile gets full sooner.
    pub session_s: f64,
}

/// What a `v=2` session gets in a second, on average.
#[derive(Debug, Clone, Copy)]
pub struct Second {
    pub flushes: f64,
    pub updates: f64,
    /// Flushes if each session's updates came at its own rate: `(1 − e^(−rate · interval)) / interval`.
    pub by_formula: f64,
    /// The same of a crowd that is spread evenly.
    pub by_average: f64,
    /// Tiles in which anything changed.
    pub changed: f64,
    /// Part of all checks that the busiest key range gets.
    pub busiest: f64,
}

/// The tiles around `anchor` that a session looks at. The map has no edge here.
fn watched(anchor: usize, watching: usize) -> impl Iterator<Item = usize> {
    let side = (1..).find(|side| side * side >= watching).unwrap_or(1);
    (0..watching).map(move |at| {
        let column = (anchor % COLUMNS + at % side) % COLUMNS;
        let row = (anchor / COLUMNS + at / side) % (TILES / COLUMNS);
        row * COLUMNS + column
    })
}

/// Part of the people at each tile; popular tiles lie anywhere.
fn popularity(zipf: f64, dice: &mut Dice) -> Vec<f64> {
    let mut parts: Vec<f64> = (1..=TILES).map(|rank| (rank as f64).powf(-zipf)).collect();
    let sum: f64 = parts.iter().sum();
    parts.iter_mut().for_each(|part| *part /= sum);
    for last in (1..TILES).rev() {
        parts.swap(last, dice.below(last + 1));
    }
    parts
}

/// Where each of the sample is.
fn settle(people: &[f64], dice: &mut Dice) -> Vec<usize> {
    let mut sum = 0.;
    let below: Vec<f64> = people.iter().map(|part| (sum, sum += part).0 + part).collect();
    let place = |drawn: f64| below.partition_point(|end| *end <= drawn).min(TILES - 1);
    (0..SAMPLE).map(|_| place(dice.fraction())).collect()
}

/// Checks a second in each tile, of `checks` that are made where people look.
fn rates(people: &[f64], habits: &Habits) -> Vec<f64> {
    let mut rates = vec![0.; TILES];
    for (anchor, part) in people.iter().enumerate() {
        for tile in watched(anchor, habits.watching) {
            rates[tile] += part * habits.checks / habits.watching as f64;
        }
    }
    // What a full tile does not take is spread over the others, whereupon more of them may be full.
    let most = (TILE_BOXES / habits.session_s).max(habits.checks / TILES as f64);
    for _ in 0..20 {
        let taken: f64 = rates.iter().map(|rate| rate.min(most)).sum();
        let free: f64 = rates.iter().filter(|rate| **rate < most).sum();
        let grow = if free > 0. { 1. + (habits.checks - taken) / free } else { 1. };
        for rate in &mut rates {
            *rate = if *rate < most { *rate * grow } else { most };
        }
    }
    rates.iter_mut().for_each(|rate| *rate = rate.min(most));
    rates
}

/// Flushes a second of something that comes `rate` times a second.
pub fn flushes(rate: f64, interval_s: f64) -> f64 {
    (1. - (-rate * interval_s).exp()) / interval_s
}

/// Plays one second.
pub fn play(habits: &Habits, dice: &mut Dice) -> Second {
    let &Habits { checks, own_checks, watching, zipf, interval_s, .. } = habits;
    let people = popularity(zipf, dice);
    let rates = rates(&people, habits);
    let sessions = settle(&people, dice);
    let intervals = (1. / interval_s).round().max(1.) as usize;
    let (mut flushed, mut updates, mut changed) = (0u64, 0u64, vec![false; TILES]);
    let mut counts = vec![0u64; TILES];
    for _ in 0..intervals {
        for tile in 0..TILES {
            counts[tile] = dice.poisson(rates[tile] * interval_s);
            changed[tile] |= counts[tile] > 0;
        }
        for anchor in &sessions {
            let others: u64 = watched(*anchor, watching).map(|tile| counts[tile]).sum();
            let heard = others + dice.poisson(own_checks * interval_s);
            flushed += u64::from(heard > 0);
            updates += heard;
        }
    }
    let seconds = intervals as f64 * interval_s;
    let each = |count: u64| count as f64 / SAMPLE as f64 / seconds;
    let formula = |anchor: &usize| {
        let rate: f64 = watched(*anchor, watching).map(|tile| rates[tile]).sum();
        flushes(rate + own_checks, interval_s)
    };
    let average = checks * watching as f64 / TILES as f64 + own_checks;
    let in_range = |range: &[f64]| range.iter().sum::<f64>() / checks;
    Second {
        flushes: each(flushed),
        updates: each(updates),
        by_formula: sessions.iter().map(formula).sum::<f64>() / SAMPLE as f64,
        by_average: flushes(average, interval_s),
        changed: changed.iter().filter(|it| **it).count() as f64,
        busiest: rates.chunks(TILES / KEY_RANGES).map(in_range).fold(0., f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(checks: f64, zipf: f64) -> Second {
        play(&habits(checks, zipf), &mut Dice::new(7))
    }

    fn habits(checks: f64, zipf: f64) -> Habits {
        Habits { checks, own_checks: 0.1, watching: 4, zipf, interval_s: 0.02, session_s: 600. }
    }

    fn near(left: f64, right: f64, part: f64) -> bool {
        (left - right).abs() <= right * part
    }

    #[test]
    fn an_even_crowd_flushes_as_the_formula_says() {
        for checks in [1_000., 10_000., 100_000., 1_000_000.] {
            let second = crowd(checks, 0.);
            assert!(near(second.by_formula, second.by_average, 0.001), "{second:?}");
            assert!(near(second.flushes, second.by_average, 0.05), "{second:?}");
        }
    }

    #[test]
    fn an_uneven_crowd_flushes_as_the_formula_of_each_session_says_and_not_that_of_the_average() {
        let second = crowd(100_000., 0.8);
        assert!(near(second.flushes, second.by_formula, 0.05), "{second:?}");
        assert!(!near(second.flushes, second.by_average, 0.1), "{second:?}");
    }

    #[test]
    fn flushes_never_exceed_one_per_interval_nor_the_updates() {
        let second = crowd(10_000_000., 0.8);
        assert!(second.flushes <= 50.0 && second.flushes <= second.updates, "{second:?}");
    }

    #[test]
    fn no_tile_takes_more_than_it_has_boxes_and_no_check_is_lost() {
        for checks in [1e3, 1e5, 1e6, 1e7] {
            let people = popularity(0.8, &mut Dice::new(7));
            let rates = rates(&people, &habits(checks, 0.8));
            let most = f64::max(TILE_BOXES / 600., checks / TILES as f64) + 1e-6;
            assert!(rates.iter().all(|rate| *rate <= most), "{checks}");
            assert!(near(rates.iter().sum(), checks, 0.01), "{checks}");
        }
    }

    #[test]
    fn the_same_seed_plays_the_same_second() {
        assert_eq!(format!("{:?}", crowd(1e4, 0.8)), format!("{:?}", crowd(1e4, 0.8)));
    }
}
