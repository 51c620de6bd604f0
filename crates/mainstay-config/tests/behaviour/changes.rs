//! What is shown loads again, what is the same has one fingerprint, and what is different is told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use mainstay_config::{Environment, Loaded, Loader};
use proptest::prelude::*;
use proptest::sample::subsequence;

const FULL: &str = include_str!("../full.yaml");

fn load(text: &str) -> Loaded {
    Loader::new().text("f.yaml", text).load().unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[test]
fn what_is_shown_loads_again_to_the_same_fingerprint() {
    let texts = [
        "",
        FULL,
        include_str!("../../../../examples/settings/mainstay.yaml"),
        "circuit_breakers: { default: { max_requests: 7, interval: 0 }, a: {}, 'b \"c\": #d': {}, '${x}': { enabled: false } }",
        "circuit_breakers: { default: { trip: [{ failures: 3 }] }, '1': {}, 'true': {}, redis: {} }",
        "health: { default: { critical: true }, checks: { a: { depends_on: [b] }, b: {} }, service: '1' }",
        "degradation: { mode_rules: { minor: { complex_to_simple: true } } }",
        "degradation: { partial_results: { success_thresholds: { a: { required: [x, '~', '- y'] } } } }",
    ];
    for text in texts {
        let loaded = load(text);
        let shown = loaded.show();
        let again = load(&shown);
        assert_eq!(again.fingerprint(), loaded.fingerprint(), "{shown}\n{:?}", loaded.diff(&again));
        for name in ["redis", "database", "agent_core", "never", "a"] {
            let (one, other) = (loaded.settings().breaker(name), again.settings().breaker(name));
            assert_eq!(one.settings.rules(), other.settings.rules(), "{name}\n{shown}");
            assert_eq!(one.settings.open_for, other.settings.open_for, "{name}\n{shown}");
            assert_eq!(one.settings.half_open, other.settings.half_open, "{name}\n{shown}");
        }
        assert_eq!(loaded.settings().health, again.settings().health);
        assert_eq!(
            format!("{:?}", loaded.settings().degradation.behaviors),
            format!("{:?}", again.settings().degradation.behaviors)
        );
    }
}

#[test]
fn a_fingerprint_is_stable_over_order_formatting_layers_and_ways_of_writing() {
    let one = "
circuit_breakers:
  redis: { timeout: 90s, max_requests: 5 }
  database: { open_for: { first: 1s, cap: 1m } }
health: { drain_delay: 1500ms }
degradation: { thresholds: { minor: { error_rate_percentage: 5.0 } }, relax_after: 30s }
";
    let other = "
# The same.
degradation:
  relax_after: { severe: 30s, moderate: 30s, minor: 30s }
  thresholds:
    minor:
      error_rate: 0.05
health:
  'drain_delay': \"1s 500ms\"
circuit_breakers:
  database:
    open_for: { cap: 60s, first: 1000ms }
  redis:
    max_requests: 5
    timeout: 1m30s
";
    assert_eq!(load(one).fingerprint(), load(other).fingerprint());
    let variables = [
        ("CB_REDIS_TIMEOUT", "90s"),
        ("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__OPEN_FOR", "{ first: 1s, cap: 1m }"),
        ("MAINSTAY__HEALTH__DRAIN_DELAY", "1.5s"),
    ];
    let by_variables = Loader::new().environment(Environment::from_iter(variables)).load().unwrap();
    assert_eq!(by_variables.fingerprint(), load(one).fingerprint());
}

#[test]
fn a_fingerprint_is_of_what_the_default_breaker_leads_to() {
    let same = ["{}", "{ default: { enabled: true } }", "{ default: { ramp: none } }"];
    assert!(
        same.map(|breakers| load(&format!("circuit_breakers: {breakers}")).fingerprint())
            .windows(2)
            .all(|two| two[0] == two[1])
    );
    let one = load("circuit_breakers: { default: { max_failures: 3 } }");
    assert_eq!(
        one.fingerprint(),
        load("circuit_breakers: { default: { failure_threshold: 3 } }").fingerprint()
    );
    assert_ne!(one.fingerprint(), load("").fingerprint());
}

#[test]
fn the_order_of_keys_does_not_change_what_a_decision_says() {
    let rules = |down: &str| {
        let text = format!("degradation: {{ fallback_behaviors: {{ a: {{ when_down: {{ {down} }} }} }} }}");
        (load(&text).fingerprint(), format!("{:?}", load(&text).settings().degradation.behaviors))
    };
    assert_eq!(rules("one: cache, other: cache"), rules("other: cache, one: cache"));
}

#[test]
fn a_fingerprint_differs_when_a_setting_does_and_fits_into_a_metric() {
    let one = load("health: { drain_delay: 1s }").fingerprint();
    let other = load("health: { drain_delay: 2s }").fingerprint();
    assert_ne!(one, other);
    assert_eq!(one.to_string().len(), 16);
    assert_eq!(one.as_f64() as u64, one.as_u64() >> 11);
}

#[test]
fn what_changed_is_told_with_both_values() {
    let one = load("circuit_breakers: { redis: { timeout: 60s }, old: {} }");
    let other = load("circuit_breakers: { redis: { open_for: { first: 1s, cap: 9s } } }");
    let changes: Vec<String> = one.diff(&other).iter().map(ToString::to_string).collect();
    assert!(changes.contains(&"circuit_breakers.old.enabled: true -> nothing".to_owned()), "{changes:?}");
    assert!(
        changes.contains(&"circuit_breakers.redis.open_for.fixed: 1m -> nothing".to_owned()),
        "{changes:?}"
    );
    assert!(
        changes.contains(&"circuit_breakers.redis.open_for.cap: nothing -> 9s".to_owned()),
        "{changes:?}"
    );
    assert_eq!(one.diff(&one), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_part_of_a_file_in_any_order_is_shown_so_that_it_loads_again(
        lines in subsequence((0..12).collect::<Vec<usize>>(), 0..12).prop_shuffle()
    ) {
        let keys = [
            "enabled: false", "on_state_change: false", "max_requests: 4", "interval: 9s", "timeout: 2h",
            "failure_threshold: 6", "success_threshold: 1", "ramp: 3s", "call_timeout: 1s", "retry_after_cap: 2m",
            "count_dropped_as_failure: true", "half_open: { reopen_after: 3, probe_timeout: 1us }",
        ];
        for name in ["default", "redis", "agent_core", "x"] {
            let said: Vec<&str> = lines.iter().map(|line| keys[*line]).collect();
            let loaded = load(&format!("circuit_breakers: {{ {name}: {{ {} }} }}", said.join(", ")));
            let again = load(&loaded.show());
            prop_assert_eq!(again.fingerprint(), loaded.fingerprint());
            for name in ["redis", "x", "y"] {
                let (one, other) = (loaded.settings().breaker(name), again.settings().breaker(name));
                prop_assert_eq!(one.settings.rules(), other.settings.rules());
                prop_assert_eq!(one.settings.open_for, other.settings.open_for);
                prop_assert_eq!(one.settings.half_open, other.settings.half_open);
            }
        }
    }
}
