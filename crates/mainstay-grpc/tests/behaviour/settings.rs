//! What breakers start from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use mainstay_breaker::{Breaker, HalfOpen, OpenFor, Trip};

#[test]
fn calls_start_from_the_defaults_of_cb_grpc() {
    let settings = mainstay_grpc::default_settings();
    assert_eq!(settings.trip, Some(vec![Trip::consecutive_failures(3).within(Duration::from_secs(45))]));
    assert_eq!(settings.open_for, OpenFor::fixed(Duration::from_secs(20)));
    let half_open = HalfOpen { max_in_flight: 5, close_after: 2, ..HalfOpen::default() };
    assert_eq!(settings.half_open, half_open);
    assert!(Breaker::builder("test").settings(settings).build().is_ok());
}

#[test]
fn connecting_starts_from_the_defaults_of_cb_grpc_conn() {
    let settings = mainstay_grpc::connect_settings();
    assert_eq!(settings.trip, Some(vec![Trip::consecutive_failures(3).within(Duration::from_secs(60))]));
    assert_eq!(settings.open_for, OpenFor::fixed(Duration::from_secs(30)));
    let half_open = HalfOpen { max_in_flight: 3, close_after: 1, ..HalfOpen::default() };
    assert_eq!(settings.half_open, half_open);
    assert!(Breaker::builder("test").settings(settings).build().is_ok());
}
