use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip};

/// What a breaker around gRPC calls starts from: three failures in a row, each at most 45 s after the one before, open it for
/// 20 s; then at most five calls at once probe, and two successes close it. These are the defaults of `CB_GRPC_`.
///
/// ```
/// use mainstay_breaker::Breaker;
///
/// let breaker = Breaker::builder("agent-core").settings(mainstay_grpc::default_settings()).build()?;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
pub fn default_settings() -> Settings {
    let half_open = HalfOpen { max_in_flight: 5, close_after: 2, ..HalfOpen::default() };
    Settings::new()
        .trip(Trip::consecutive_failures(3).within(Duration::from_secs(45)))
        .open_for(OpenFor::fixed(Duration::from_secs(20)))
        .half_open(half_open)
}

/// What a breaker around connecting starts from: three failures in a row, each at most 60 s after the one before, open it for
/// 30 s; then at most three attempts at once probe, and one success closes it. These are the defaults of `CB_GRPC_CONN_`.
pub fn connect_settings() -> Settings {
    let half_open = HalfOpen { max_in_flight: 3, close_after: 1, ..HalfOpen::default() };
    Settings::new()
        .trip(Trip::consecutive_failures(3).within(Duration::from_secs(60)))
        .open_for(OpenFor::fixed(Duration::from_secs(30)))
        .half_open(half_open)
}
