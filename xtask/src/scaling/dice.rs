//! Seeded draws: the same seed gives the same tables.

/// SplitMix64: small, and good enough to throw dice with.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.fraction() * end as f64) as usize
    }

    /// How many of many rare things happen, `mean` on average.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 1_000. {
            // Nearly normal by then, and so is the sum of twelve fractions, with a variance of 1.
            let normal = (0..12).map(|_| self.fraction()).sum::<f64>() - 6.;
            return (mean + mean.sqrt() * normal).round() as u64;
        }
        if mean > 30. {
            // Knuth's way multiplies a number for each event: halves keep the product above 0.
            return self.poisson(mean / 2.) + self.poisson(mean / 2.);
        }
        let (limit, mut product, mut events) = ((-mean).exp(), self.fraction(), 0);
        while product > limit {
            product *= self.fraction();
            events += 1;
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_and_the_variance_of_poisson() {
        let mut dice = Dice::new(5);
        for mean in [0.1, 3., 29., 31., 400., 5_000.] {
            let draws: Vec<f64> = (0..20_000).map(|_| dice.poisson(mean) as f64).collect();
            let average = draws.iter().sum::<f64>() / 20_000.;
            let squares = draws.iter().map(|draw| (draw - average).powi(2)).sum::<f64>();
            assert!((average / mean - 1.).abs() < 0.1, "{mean}: {average}");
            assert!((squares / 20_000. / mean - 1.).abs() < 0.1, "{mean}: {squares}");
        }
    }
}
