use std::time::Duration;

use mainstay_core::splitmix::{GOLDEN_RATIO, scramble, share};
use mainstay_core::{ConfigError, check_duration};

/// Lets the outage of a shared dependency fail readiness after all, without taking the fleet out of the load balancer.
///
/// A replica that finds the dependency down leaves after a delay in `[0, spread_over)`, stays out for `fail_open_after`, and
/// then is ready again (degraded) until every dependency with a guard has been up. It leaves once, however many of them are
/// down: by the guard of the first. So at any moment of an outage, of whatever length, the expected share of replicas that
/// are out is at most `fail_open_after / spread_over`, which is at most a third.
///
/// **Number your replicas.** With a [seed](crate::HealthManagerBuilder::seed) from a row of numbers, such as the ordinal of a
/// stateful set's pod, the delays are spread evenly, and the share holds nearly to the replica. Random seeds, the default,
/// hold it on average: of 100 replicas half are out at some moment of 1.3 % of all outages at a third, and of none in 20,000 at
/// a quarter; of 10 replicas of most (simulated).
///
/// Without this a shared dependency only degrades, which is what nearly every service wants. Use it where a replica's own
/// way to the dependency is what usually breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetGuard {
    /// Over which time the replicas leave. At least three times `fail_open_after`.
    pub spread_over: Duration,
    /// How long each of them stays out. More than zero.
    pub fail_open_after: Duration,
}

impl FleetGuard {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        check_duration("spread_over", self.spread_over)?;
        check_duration("fail_open_after", self.fail_open_after)?;
        if self.fail_open_after > self.spread_over / 3 {
            let rule = format!("must be at most a third of spread_over, {:?}", self.spread_over / 3);
            return Err(ConfigError::new(
                "fail_open_after",
                format_args!("{:?}", self.fail_open_after),
                rule,
            ));
        }
        Ok(())
    }

    /// From when to when a replica is out, in an outage that began at `since`: a pure function of the replica's seed and the
    /// number of the outage. Multiples of the golden ratio fall into the widest gaps that earlier ones have left, so that
    /// seeds in a row spread evenly; random seeds stay random. The outage turns the whole circle, so that it is not always the
    /// same replica that leaves first.
    pub(crate) fn absence(&self, since: Duration, seed: u64, outage: u64) -> Absence {
        let turned = seed.wrapping_mul(GOLDEN_RATIO).wrapping_add(scramble(outage));
        let leave = since.saturating_add(self.spread_over.mul_f64(share(turned)));
        Absence { leave, back: leave.saturating_add(self.fail_open_after) }
    }
}

/// From when to when a replica is out of the load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    pub(crate) leave: Duration,
    pub(crate) back: Duration,
}

/// A number in [0, 1) from a seed, as if at random.
pub(crate) fn unit(seed: u64) -> f64 {
    share(scramble(seed))
}

/// A seed from a name (FNV-1a), the same in every process.
pub(crate) fn mix(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
