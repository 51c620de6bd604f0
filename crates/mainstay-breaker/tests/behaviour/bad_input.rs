//! Settings that are refused, with field, value and rule; and those at the very limit, which are not.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::{Breaker, ConfigError, HalfOpen, OpenFor, Registry, Settings, Trip, Window};

const NANO: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Refused by the builder, by `validate` and by `reconfigure` alike.
fn refused(settings: Settings) -> (String, String) {
    let built = Breaker::builder("refused").settings(settings.clone()).build().unwrap_err();
    assert_eq!(settings.validate().unwrap_err(), built);
    let running = Breaker::new("running").unwrap();
    assert_eq!(running.reconfigure(settings).unwrap_err(), built);
    assert_eq!(running.settings(), Settings::default());
    let ConfigError { field, value, rule } = built;
    assert!(!rule.is_empty());
    (field, value)
}

fn accepted(settings: Settings) {
    Breaker::builder("accepted").settings(settings).build().unwrap();
}

fn trip(rule: Trip) -> Settings {
    Settings::new().trip(rule)
}

fn told(field: &str, value: &str) -> (String, String) {
    (field.into(), value.into())
}

#[test]
fn counts_of_zero_are_refused() {
    let field = |name: &str| told(name, "0");
    assert_eq!(refused(trip(Trip::consecutive_failures(0))), field("trip[0].consecutive_failures"));
    assert_eq!(refused(trip(Trip::failures(0))), field("trip[0].failures"));
    assert_eq!(refused(trip(Trip::failure_rate(0.5).min_calls(0))), field("trip[0].min_calls"));
    assert_eq!(refused(trip(Trip::failures(1).over(Window::calls(0)))), field("trip[0].over.calls"));
    let half_open = |half_open| Settings::new().half_open(half_open);
    let fine = HalfOpen::default();
    assert_eq!(refused(half_open(HalfOpen { max_in_flight: 0, ..fine })), field("half_open.max_in_flight"));
    assert_eq!(refused(half_open(HalfOpen { close_after: 0, ..fine })), field("half_open.close_after"));
    assert_eq!(refused(half_open(HalfOpen { reopen_after: 0, ..fine })), field("half_open.reopen_after"));
}

#[test]
fn rates_outside_their_range_are_refused() {
    let nearly = 1.0 + f64::EPSILON;
    for rate in [0.0, -0.0, -0.5, nearly, 50.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let value = format!("{rate:?}");
        assert_eq!(refused(trip(Trip::failure_rate(rate))), told("trip[0].failure_rate", &value));
        assert_eq!(refused(trip(Trip::slow_rate(rate, SECOND))), told("trip[0].slow_rate", &value));
    }
}

#[test]
fn rates_at_the_ends_of_their_range_are_accepted() {
    for rate in [f64::MIN_POSITIVE, 1.0] {
        accepted(trip(Trip::failure_rate(rate)));
        accepted(trip(Trip::slow_rate(rate, SECOND)));
    }
}

#[test]
fn durations_in_which_no_time_passes_are_refused() {
    let zero = Duration::ZERO;
    let none = |settings| refused(settings).0;
    assert_eq!(none(trip(Trip::slow_rate(0.5, zero))), "trip[0].slower_than");
    assert_eq!(none(trip(Trip::consecutive_failures(1).within(zero))), "trip[0].within");
    assert_eq!(none(trip(Trip::failures(1).over(Window::time(zero)))), "trip[0].over.time");
    assert_eq!(none(Settings::new().open_for(OpenFor::fixed(zero))), "open_for.first");
    let half_open = HalfOpen { probe_timeout: zero, ..HalfOpen::default() };
    assert_eq!(none(Settings::new().half_open(half_open)), "half_open.probe_timeout");
    assert_eq!(none(Settings::new().ramp(zero)), "ramp");
    assert_eq!(none(Settings::new().timeout(zero)), "timeout");
    assert_eq!(none(Settings::new().retry_after_cap(zero)), "retry_after_cap");
}

fn with_durations(d: Duration) -> [(Settings, &'static str); 7] {
    let half_open = HalfOpen { probe_timeout: d, ..HalfOpen::default() };
    [
        (trip(Trip::slow_rate(0.5, d)), "trip[0].slower_than"),
        (trip(Trip::consecutive_failures(1).within(d)), "trip[0].within"),
        (Settings::new().open_for(OpenFor::fixed(d)), "open_for.first"),
        (Settings::new().half_open(half_open), "half_open.probe_timeout"),
        (Settings::new().ramp(d), "ramp"),
        (Settings::new().timeout(d), "timeout"),
        (Settings::new().retry_after_cap(d), "retry_after_cap"),
    ]
}

#[test]
fn durations_above_a_year_are_refused() {
    for d in [YEAR + NANO, Duration::MAX] {
        for (settings, field) in with_durations(d) {
            assert_eq!(refused(settings).0, field);
        }
    }
}

#[test]
fn the_shortest_and_the_longest_durations_are_accepted() {
    for d in [NANO, YEAR] {
        with_durations(d).into_iter().for_each(|(settings, _)| accepted(settings));
    }
}

#[test]
fn windows_of_time_have_limits() {
    let over = |d| trip(Trip::failure_rate(0.5).over(Window::time(d)));
    for d in [Duration::ZERO, Window::MIN_TIME - NANO, Window::MAX_TIME + NANO, Duration::MAX] {
        assert_eq!(refused(over(d)), told("trip[0].over.time", &format!("{d:?}")));
    }
    accepted(over(Window::MIN_TIME));
    accepted(over(Window::MAX_TIME));
}

#[test]
fn windows_of_calls_have_limits() {
    let over = |n| trip(Trip::failure_rate(0.5).over(Window::calls(n)));
    for n in [0, Window::MAX_CALLS + 1, u32::MAX] {
        assert_eq!(refused(over(n)), told("trip[0].over.calls", &n.to_string()));
    }
    accepted(over(1));
    accepted(over(Window::MAX_CALLS));
}

#[test]
fn what_a_window_of_calls_can_never_reach_is_refused() {
    let ten = Window::calls(10);
    assert_eq!(
        refused(trip(Trip::failure_rate(0.5).over(ten).min_calls(11))),
        told("trip[0].min_calls", "11")
    );
    assert_eq!(refused(trip(Trip::failures(5).over(ten).min_calls(11))), told("trip[0].min_calls", "11"));
    assert_eq!(refused(trip(Trip::failures(11).over(ten))), told("trip[0].failures", "11"));
    accepted(trip(Trip::failure_rate(0.5).over(ten).min_calls(10)));
    accepted(trip(Trip::failures(10).over(ten)));
}

#[test]
fn a_window_of_time_has_no_limit_to_its_minimum() {
    accepted(trip(Trip::failure_rate(0.5).min_calls(u32::MAX)));
    accepted(trip(Trip::failures(u32::MAX)));
    accepted(trip(Trip::consecutive_failures(u32::MAX)));
}

#[test]
fn settings_that_a_rule_does_not_have_are_refused() {
    let run = Trip::consecutive_failures(5);
    assert_eq!(refused(trip(run.over(Window::calls(10)))).0, "trip[0].over");
    assert_eq!(refused(trip(run.min_calls(10))).0, "trip[0].min_calls");
    for rule in [Trip::failure_rate(0.5), Trip::slow_rate(0.5, SECOND), Trip::failures(5)] {
        assert_eq!(refused(trip(rule.within(SECOND))).0, "trip[0].within");
    }
}

#[test]
fn eight_rules_are_accepted_and_a_ninth_is_refused() {
    let many = |n: u32| (1..=n).fold(Settings::new(), |settings, k| settings.trip(Trip::failures(k)));
    accepted(many(8));
    assert_eq!(refused(many(9)), told("trip", "9 rules"));
}

#[test]
fn a_second_rule_of_consecutive_failures_is_refused() {
    let two = trip(Trip::consecutive_failures(5)).trip(Trip::consecutive_failures(6));
    assert_eq!(refused(two).0, "trip");
}

#[test]
fn no_rule_at_all_is_refused() {
    let mut settings = Settings::new();
    settings.trip = Some(Vec::new());
    assert_eq!(refused(settings).0, "trip");
}

#[test]
fn the_field_names_the_rule_that_is_wrong() {
    let settings = trip(Trip::failures(1)).trip(Trip::failures(2)).trip(Trip::failure_rate(1.5));
    assert_eq!(refused(settings), told("trip[2].failure_rate", "1.5"));
}

#[test]
fn more_probes_than_the_maximum_are_refused() {
    let slots = |max_in_flight| Settings::new().half_open(HalfOpen { max_in_flight, ..HalfOpen::default() });
    for n in [HalfOpen::MAX_IN_FLIGHT + 1, u32::MAX] {
        assert_eq!(refused(slots(n)), told("half_open.max_in_flight", &n.to_string()));
    }
    accepted(slots(HalfOpen::MAX_IN_FLIGHT));
}

#[test]
fn an_open_time_that_makes_no_sense_is_refused() {
    let doubling = OpenFor::exponential(SECOND, 60 * SECOND);
    let field = |open_for| refused(Settings::new().open_for(open_for)).0;
    assert_eq!(field(OpenFor::exponential(2 * SECOND, SECOND)), "open_for.cap");
    assert_eq!(field(OpenFor::exponential(SECOND, Duration::MAX)), "open_for.cap");
    for factor in [0.0, 0.99, 100.1, -2.0, f64::INFINITY, f64::NAN] {
        assert_eq!(field(doubling.factor(factor)), "open_for.factor");
    }
    for jitter in [-0.1, 1.1, f64::INFINITY, f64::NAN] {
        assert_eq!(field(doubling.jitter(jitter)), "open_for.jitter");
    }
}

#[test]
fn names_that_nobody_could_read_are_refused() {
    for name in ["", " ", " redis", "redis ", "re\ndis", "re\0dis", &"x".repeat(129)] {
        assert_eq!(Breaker::new(name).unwrap_err().field, "name", "{name:?}");
    }
    for name in ["r", "redis, the first", "größe", &"x".repeat(128)] {
        assert_eq!(Breaker::new(name).unwrap().name().as_str(), name);
    }
}

#[test]
fn a_name_that_the_registry_has_is_refused() {
    let registry = Registry::new();
    let _first = Breaker::builder("redis").registry(&registry).build().unwrap();
    let error = Breaker::builder("redis").registry(&registry).build().unwrap_err();
    assert_eq!((error.field.as_str(), error.value.as_str()), ("name", "\"redis\""));
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let error = Breaker::builder("refused").trip(Trip::failure_rate(1.5)).build().unwrap_err();
    assert_eq!(error.to_string(), "trip[0].failure_rate: 1.5 is refused: must be above 0 and at most 1");
}
