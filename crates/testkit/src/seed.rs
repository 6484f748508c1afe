//! Chance that can be repeated.

use rand::SeedableRng;
use rand::rngs::SmallRng;

/// Where the randomness of a test comes from. Printed at the start of the test, so that a failure can be repeated.
#[derive(Debug, Clone, Copy)]
pub struct Seed(pub u64);

impl Seed {
    /// From the environment variable `TEST_SEED`, or a new one.
    ///
    /// # Panics
    /// When the variable is not a number.
    pub fn take(test: &str) -> Seed {
        let seed = match std::env::var("TEST_SEED") {
            Ok(text) => text.parse().expect("TEST_SEED is a number"),
            Err(_) => rand::random(),
        };
        println!("{test}: repeat with TEST_SEED={seed}");
        Seed(seed)
    }

    /// A generator; each `stream` has its own, so that tasks do not change each other's luck.
    pub fn stream(self, stream: u64) -> SmallRng {
        SmallRng::seed_from_u64(self.0 ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}
