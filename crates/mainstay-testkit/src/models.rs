//! Long runs of tests against a model: how many cases, from which seed, and how to see a failure again.
//!
//! Every such test of the workspace draws its cases from a fixed seed, so that a build that passed passes again, and takes
//! two environment variables: `MAINSTAY_MODEL_CASES`, how many cases each test tries, and `MAINSTAY_MODEL_SEED`, a number.

use std::env;
use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestError, TestRng, TestRunner};

/// How many cases a test tries, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cases {
    /// How many cases. From `MAINSTAY_MODEL_CASES`.
    pub cases: u64,
    /// Where the generator begins; 0 if nothing is said. From `MAINSTAY_MODEL_SEED`.
    pub seed: u64,
    /// How many all the tests that share them try together.
    all: u64,
    stream: u8,
}

impl Cases {
    /// As the environment says, or so many cases.
    ///
    /// # Panics
    ///
    /// When a variable is set to what is no number.
    pub fn or(cases: u64) -> Self {
        let cases = variable("MAINSTAY_MODEL_CASES").unwrap_or(cases);
        // A generator of this kind cannot begin with nothing but zeroes.
        Self { cases, seed: variable("MAINSTAY_MODEL_SEED").unwrap_or(0), all: cases, stream: u8::MAX }
    }

    /// Divides the cases among tests that share them, and gives each a stream of its own.
    #[must_use]
    pub fn share(self, tests: u64, number: u8) -> Self {
        Self { cases: self.cases.div_ceil(tests.max(1)), stream: number, ..self }
    }

    /// Tries them all; what fails is made as small as it can be.
    ///
    /// # Panics
    ///
    /// When a case fails, with the smallest that was found and how to run it again.
    #[allow(clippy::panic, reason = "it is for tests")]
    pub fn check<S: Strategy>(self, strategy: &S, test: impl Fn(S::Value) -> TestCaseResult)
    where
        S::Value: Debug,
    {
        match self.run(strategy, test) {
            Ok(()) => {}
            Err(TestError::Fail(reason, smallest)) => {
                panic!("{reason}\nsmallest case found: {smallest:#?}\n{}", self.again())
            }
            Err(TestError::Abort(reason)) => panic!("aborted: {reason}\n{}", self.again()),
        }
    }

    /// The same, for a test that has more to say of a failure.
    ///
    /// # Errors
    ///
    /// The smallest case that fails, or why there are none.
    pub fn run<S: Strategy>(
        self,
        strategy: &S,
        test: impl Fn(S::Value) -> TestCaseResult,
    ) -> Result<(), TestError<S::Value>> {
        let config = Config {
            cases: u32::try_from(self.cases).unwrap_or(u32::MAX),
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..Config::default()
        };
        // Not ChaCha: proptest seeds a generator for every branch it does not take, and without optimization that takes far
        // longer than what is tested.
        let mut seed = [self.stream; 16];
        for (byte, of_seed) in seed.iter_mut().zip(self.seed.to_le_bytes()) {
            *byte = of_seed;
        }
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::XorShift, &seed))
            .run(strategy, test)
    }

    /// How to run the same cases again, for the message of a failure.
    pub fn again(&self) -> String {
        let Self { seed, all, .. } = self;
        format!("again with MAINSTAY_MODEL_SEED={seed} MAINSTAY_MODEL_CASES={all}")
    }
}

#[allow(clippy::panic, reason = "it is for tests")]
fn variable(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}
