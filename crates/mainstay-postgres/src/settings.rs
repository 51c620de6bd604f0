use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip};

/// The breaker settings of a PostgreSQL client: 5 failures in a row, no two of them more than 60 s apart, open it for
/// 30 s; half-open it admits 3 calls at once, 2 successes close it and 1 failure opens it again, and a call that has not
/// answered after 10 s is a failure.
///
/// These are the values behind the prefix `CB_DB_`.
pub fn default_settings() -> Settings {
    Settings::new()
        .trip(Trip::consecutive_failures(5).within(Duration::from_secs(60)))
        .open_for(OpenFor::fixed(Duration::from_secs(30)))
        .half_open(HalfOpen { max_in_flight: 3, close_after: 2, ..HalfOpen::default() })
}
