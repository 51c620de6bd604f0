//! The sample in the original's words, and what is effective when it is loaded.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Trip, Window};
use mainstay_config::{Environment, Loaded, Loader};
use mainstay_degrade::{BehaviorRules, ModeRules, PartialPolicies, Thresholds};

fn sample() -> Loaded {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/settings/mainstay.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    Loader::new().text("mainstay.yaml", text).load().unwrap_or_else(|errors| panic!("{errors}"))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_sample_shows_the_originals_tables() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mainstay.yaml");
    let shown = sample().show();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &shown).unwrap();
    }
    assert_eq!(shown, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn the_samples_breakers_have_the_samples_figures() {
    let loaded = sample();
    for (name, max_requests, interval, timeout, failures) in
        [("redis", 5, 30, 60, 5), ("database", 3, 30, 60, 3), ("grpc", 10, 30, 60, 10)]
    {
        let breaker = loaded.settings().breaker(name);
        let settings = &breaker.settings;
        assert_eq!(
            settings.trip,
            Some(vec![Trip::consecutive_failures(failures).within(secs(interval))]),
            "{name}"
        );
        assert_eq!(settings.open_for, OpenFor::fixed(secs(timeout)), "{name}");
        let half_open = HalfOpen { max_in_flight: max_requests, close_after: 2, ..HalfOpen::default() };
        assert_eq!(settings.half_open, half_open, "{name}");
        assert!(breaker.enabled && breaker.on_state_change, "{name}");
        assert_eq!(settings.validate(), Ok(()));
    }
    assert_eq!(loaded.settings().breakers.len(), 3);
}

#[test]
fn the_samples_degradation_is_the_default_one() {
    let loaded = sample();
    let degradation = &loaded.settings().degradation;
    assert!(degradation.enabled);
    assert_eq!(degradation.thresholds, Thresholds::default());
    assert_eq!(degradation.partial, PartialPolicies::seed());
    assert_eq!(format!("{:?}", degradation.behaviors), format!("{:?}", BehaviorRules::seed()));
    assert_eq!(granted(&degradation.modes), granted(&ModeRules::seed()));
    assert_eq!(degradation.timeout_override, secs(5));
    assert_eq!(degradation.max_wait_time, secs(30));
    assert_eq!(degradation.relax_after, [secs(30); 3]);
    assert!(loaded.warnings().is_empty());
}

fn granted(rules: &ModeRules<mainstay_degrade::ExecutionMode>) -> Vec<mainstay_degrade::ExecutionMode> {
    use mainstay_degrade::{ExecutionMode, Level};
    let modes = [ExecutionMode::Simple, ExecutionMode::Standard, ExecutionMode::Complex];
    Level::ALL.into_iter().flat_map(|level| modes.map(|mode| rules.granted(level, mode))).collect()
}

#[test]
fn nothing_said_is_the_library_s_default() {
    let loaded = Loader::new().load().unwrap();
    let settings = loaded.settings();
    let other = &settings.breaker("anything").settings;
    let rules =
        [Trip::consecutive_failures(5), Trip::failure_rate(0.5).over(Window::time(secs(30))).min_calls(20)];
    assert_eq!(other.rules(), rules);
    assert_eq!(other.open_for, mainstay_breaker::Settings::default().open_for);
    assert_eq!(other.half_open, HalfOpen::default());
    assert_eq!(settings.degradation.thresholds, Thresholds::default());
    assert_eq!(settings.degradation.partial, PartialPolicies::seed());
    assert_eq!(format!("{:?}", settings.degradation.behaviors), format!("{:?}", BehaviorRules::seed()));
    assert_eq!(granted(&settings.degradation.modes), granted(&ModeRules::seed()));
}

#[test]
fn breakers_of_the_originals_names_start_from_their_rows() {
    let rows = [
        ("redis", 5, 30, 15, 3, 2),
        ("database", 3, 60, 30, 5, 2),
        ("grpc", 5, 45, 20, 3, 2),
        ("grpc_conn", 3, 60, 30, 3, 1),
        ("http", 5, 30, 15, 3, 2),
    ];
    // Mentioned or not.
    for text in
        ["", "circuit_breakers: { redis: {}, database: , grpc: , grpc_conn: {}, http: { enabled: true } }"]
    {
        let loaded = Loader::new().text("f", text).load().unwrap();
        for (name, max_requests, interval, timeout, failures, successes) in rows {
            let settings = &loaded.settings().breaker(name).settings;
            let rules = vec![Trip::consecutive_failures(failures).within(secs(interval))];
            assert_eq!(settings.trip, Some(rules), "{name}");
            assert_eq!(settings.open_for, OpenFor::fixed(secs(timeout)), "{name}");
            let half_open =
                HalfOpen { max_in_flight: max_requests, close_after: successes, ..HalfOpen::default() };
            assert_eq!(settings.half_open, half_open, "{name}");
        }
        let agent = &loaded.settings().breaker("agent_core").settings;
        let rule = Trip::failure_rate(0.5).over(Window::time(secs(30))).min_calls(20);
        assert_eq!(agent.trip, Some(vec![rule]));
    }
}

#[test]
fn the_sample_can_be_a_real_file() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/settings/mainstay.yaml");
    let loaded = Loader::new().file(file).environment(Environment::new()).load().unwrap();
    assert_eq!(loaded.fingerprint(), sample().fingerprint());
}
