//! Counter-based random numbers: a stream is named by a seed, a purpose and an
//! index, so what is drawn for one sample or cell does not depend on which
//! thread draws it, or on how many others are drawn.

use super::error::{check_value, CoreError};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream is for.  Streams of different purposes never overlap; the numbers
/// are part of what a seed means, so a new purpose takes a new one.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Purpose {
    Start = 1,
    Genes = 2,
    Donors = 3,
    Platform = 4,
    Cells = 5,
    Bulk = 6,
    Bootstrap = 7,
    Signs = 8,
    Measurement = 9,
    MeasurementNoise = 10,
    Dictionary = 11,
    Factors = 12,
    Projection = 13,
    Permutation = 14,
    Resample = 15,
    BootstrapDonors = 16,
    Seeds = 17,
    HeldOut = 18,
    LatentDraws = 19,
    Mixtures = 20,
    Splits = 21,
    Weights = 22,
    Batches = 23,
    Dropout = 24,
    LatentNoise = 25,
    DecoderNoise = 28,
    Generator = 29,
}

/// The stream `index` of `purpose` under `seed`.
pub fn stream(seed: u64, purpose: Purpose, index: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 48) | index as u64);
    rng
}

/// Seeds for n independent parts of one computation, whole numbers below 2³¹.
/// Those of neighbouring seeds have nothing in common, unlike seed, seed + 1, ….
pub fn derived_seeds(seed: u64, n: usize) -> Vec<u32> {
    let mut rng = stream(seed, Purpose::Seeds, 0);
    (0..n).map(|_| rng.next_u32() >> 1).collect()
}

/// A seed that came as a double: a whole number from 0 to below 2^64.
pub fn seed(name: &'static str, value: f64) -> Result<u64, CoreError> {
    let expected = "a whole number from 0 to below 2^64";
    check_value(name, value, expected, |v| (0.0..2f64.powi(64)).contains(&v) && v.fract() == 0.0)?;
    Ok(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    fn first(seed: u64, purpose: Purpose, index: usize) -> u64 {
        stream(seed, purpose, index).random()
    }

    #[test]
    fn streams_repeat_and_differ() {
        assert_eq!(first(1, Purpose::Cells, 5), first(1, Purpose::Cells, 5));
        assert_ne!(first(1, Purpose::Cells, 5), first(2, Purpose::Cells, 5));
        assert_ne!(first(1, Purpose::Cells, 5), first(1, Purpose::Cells, 6));
        assert_ne!(first(1, Purpose::Cells, 5), first(1, Purpose::Bulk, 5));
    }

    #[test]
    fn seeds_of_parts_do_not_meet_those_of_the_next_seed() {
        let (one, two) = (derived_seeds(1, 100), derived_seeds(2, 100));
        assert!(one.iter().all(|seed| !two.contains(seed)));
        // more parts leave the first ones as they are
        assert_eq!(one[..10], derived_seeds(1, 10));
    }

    #[test]
    fn every_seed_is_itself_or_refused() {
        assert_eq!(seed("seed", 0.0), Ok(0));
        assert_eq!(seed("seed", 2f64.powi(63)), Ok(1 << 63));
        let last = 2f64.powi(64) - 2048.0;
        assert_eq!(seed("seed", last), Ok(u64::MAX - 2047));
        for value in [-1.0, 1.5, 2f64.powi(64), f64::NAN, f64::INFINITY] {
            let text = seed("seed", value).unwrap_err().to_string();
            assert!(
                text.starts_with("`seed` must be a whole number from 0 to below 2^64"),
                "{text}"
            );
        }
    }
}
