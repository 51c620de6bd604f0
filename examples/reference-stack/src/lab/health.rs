//! The gateway's health: what a failure of each thing it needs may do.

use std::time::Duration;

use mainstay::ConfigError;
use mainstay::breaker::Breaker;
use mainstay::health::{Check, HealthManager, checks, source};

/// The gateway's health manager. Every gateway uses the same upstream and the same Redis, so that neither may take a gateway
/// out of the load balancer: the others would be no better off.
pub(crate) fn manager(
    upstream: &Breaker,
    redis: Option<&Breaker>,
    drain_delay: Duration,
) -> Result<HealthManager, ConfigError> {
    let mut health = HealthManager::builder("gateway")
        .check(Check::shared("upstream", source(upstream.clone())).critical())
        .check(Check::internal("runtime", checks::runtime_lag()))
        .drain_delay(drain_delay);
    if let Some(redis) = redis {
        health = health.check(Check::shared("redis", source(redis.clone())).non_critical());
    }
    health.build()
}
