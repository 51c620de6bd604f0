use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip};

/// The settings of an HTTP client's breaker where none are given: 3 failures in a row, no two of them more than 30 s
/// apart, open it for 15 s; half-open admits 5 requests at once, of which 2 successes close it and 1 failure opens it
/// again.
///
/// There is no time-out among them: say one with [`HttpLayer::timeout`](crate::HttpLayer::timeout).
pub fn default_settings() -> Settings {
    Settings::new()
        .trip(Trip::consecutive_failures(3).within(Duration::from_secs(30)))
        .open_for(OpenFor::fixed(Duration::from_secs(15)))
        .half_open(HalfOpen { max_in_flight: 5, close_after: 2, ..HalfOpen::default() })
}
