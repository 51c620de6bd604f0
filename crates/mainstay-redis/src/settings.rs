use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip};

/// The breaker's settings for Redis: three failures in a row, no two of them more than 30 s apart, open it for 15 s; then five
/// probes at once, of which two have to succeed.
///
/// ```
/// use mainstay_redis::{Breaker, default_settings};
///
/// let breaker = Breaker::builder("redis").settings(default_settings()).build()?;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
pub fn default_settings() -> Settings {
    Settings::new()
        .trip(Trip::consecutive_failures(3).within(Duration::from_secs(30)))
        .open_for(OpenFor::fixed(Duration::from_secs(15)))
        .half_open(HalfOpen { max_in_flight: 5, close_after: 2, ..HalfOpen::default() })
}
