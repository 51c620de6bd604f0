//! What replaces what.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Trip, Window};
use mainstay_config::{Environment, Loaded, Loader};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn load(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::from_iter(variables.iter().copied());
    let loader = Loader::new().text("f.yaml", text).environment(environment);
    loader.load().unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    let environment = Environment::from_iter(variables.iter().copied());
    Loader::new().text("f.yaml", text).environment(environment).load().unwrap_err().to_string()
}

#[test]
fn a_file_replaces_the_row_and_a_variable_replaces_the_file() {
    let text = "circuit_breakers: { redis: { timeout: 60s, max_failures: 7 } }";
    let loaded =
        load(text, &[("CB_REDIS_TIMEOUT", "5s"), ("MAINSTAY__CIRCUIT_BREAKERS__REDIS__INTERVAL", "2m")]);
    let redis = &loaded.settings().breaker("redis").settings;
    assert_eq!(redis.open_for, OpenFor::fixed(secs(5)));
    assert_eq!(redis.trip, Some(vec![Trip::consecutive_failures(7).within(secs(120))]));
    assert_eq!(redis.half_open.max_in_flight, 5);
    let origin = |path: &str| loaded.origin(path).unwrap().to_string();
    assert_eq!(origin("circuit_breakers.redis.open_for.fixed"), "CB_REDIS_TIMEOUT");
    assert_eq!(origin("circuit_breakers.redis.half_open.max_in_flight"), "default of CB_REDIS_*");
    assert_eq!(origin("circuit_breakers.redis.half_open.probe_timeout"), "default");
}

#[test]
fn the_default_breaker_is_between_the_row_and_the_breaker_s_own() {
    let text = "
circuit_breakers:
  default: { timeout: 40s, ramp: 30s, half_open: { reopen_after: 2 } }
  redis: { ramp: none }
  other: { half_open: { close_after: 7 } }
";
    let loaded = load(text, &[]);
    let redis = &loaded.settings().breaker("redis").settings;
    assert_eq!((redis.open_for, redis.ramp), (OpenFor::fixed(secs(40)), None));
    assert_eq!(redis.half_open.reopen_after, 2);
    let other = &loaded.settings().breaker("other").settings;
    assert_eq!(other.half_open, HalfOpen { close_after: 7, reopen_after: 2, ..HalfOpen::default() });
    assert_eq!(other.ramp, Some(secs(30)));
    // Nobody named these.
    assert_eq!(loaded.settings().breaker("grpc").settings.open_for, OpenFor::fixed(secs(40)));
    assert_eq!(loaded.settings().breaker("never").settings.ramp, Some(secs(30)));
}

#[test]
fn a_breaker_in_the_original_s_words_has_its_one_rule_and_a_fixed_time() {
    let breaker = load("circuit_breakers: { mine: { max_requests: 4 } }", &[]);
    let settings = &breaker.settings().breaker("mine").settings;
    assert_eq!(settings.trip, Some(vec![Trip::consecutive_failures(5).within(secs(60))]));
    assert_eq!(settings.open_for, OpenFor::fixed(secs(10)));
    assert_eq!(settings.half_open, HalfOpen { max_in_flight: 4, ..HalfOpen::default() });

    let forever = load("circuit_breakers: { mine: { interval: 0 } }", &[]);
    let rules = forever.settings().breaker("mine").settings.trip.clone();
    assert_eq!(rules, Some(vec![Trip::consecutive_failures(5)]));
}

#[test]
fn everything_the_builder_can_do_has_a_key() {
    let text = "
circuit_breakers:
  all:
    enabled: false
    on_state_change: false
    trip:
      - { consecutive_failures: 3, within: 10s }
      - { failure_rate: 0.25, over: { calls: 50 }, min_calls: 10 }
      - { slow_rate: 0.5, slower_than: 250ms, over: { time: 1m } }
      - { failures: 9 }
    open_for: { first: 2s, cap: 1h, factor: 3, jitter: 0.5 }
    half_open: { max_in_flight: 9, close_after: 8, reopen_after: 7, probe_timeout: 6s }
    ramp: 11s
    call_timeout: 12s
    retry_after_cap: 13s
    count_dropped_as_failure: true
";
    let loaded = load(text, &[]);
    let all = loaded.settings().breaker("all");
    let expected = mainstay_breaker::Settings::new()
        .trip(Trip::consecutive_failures(3).within(secs(10)))
        .trip(Trip::failure_rate(0.25).over(Window::calls(50)).min_calls(10))
        .trip(Trip::slow_rate(0.5, Duration::from_millis(250)).over(Window::time(secs(60))).min_calls(20))
        .trip(Trip::failures(9).over(Window::time(secs(30))))
        .open_for(OpenFor::exponential(secs(2), secs(3600)).factor(3.0).jitter(0.5))
        .half_open(HalfOpen { max_in_flight: 9, close_after: 8, reopen_after: 7, probe_timeout: secs(6) })
        .ramp(secs(11))
        .timeout(secs(12))
        .retry_after_cap(secs(13))
        .count_dropped_as_failure(true);
    assert_eq!(all.settings, expected);
    assert!(!all.enabled && !all.on_state_change);
}

#[test]
fn a_higher_layer_replaces_what_a_lower_one_said_in_other_words() {
    let file = "
circuit_breakers:
  redis:
    trip: [{ failures: 3 }]
    open_for: { first: 1s, cap: 2s }
    half_open: { max_in_flight: 9 }
";
    let loaded = load(
        file,
        &[("CB_REDIS_FAILURE_THRESHOLD", "4"), ("CB_REDIS_TIMEOUT", "7s"), ("CB_REDIS_MAX_REQUESTS", "6")],
    );
    let redis = &loaded.settings().breaker("redis").settings;
    assert_eq!(redis.trip, Some(vec![Trip::consecutive_failures(4).within(secs(30))]));
    assert_eq!(redis.open_for, OpenFor::fixed(secs(7)));
    assert_eq!(redis.half_open.max_in_flight, 6);

    let back =
        [("MAINSTAY__CIRCUIT_BREAKERS__REDIS__TRIP", "[{ failures: 2 }]"), ("CB_REDIS_INTERVAL", "1s")];
    let loaded = load("", &back);
    assert_eq!(
        loaded.settings().breaker("redis").settings.trip,
        Some(vec![Trip::failures(2).over(Window::time(secs(30)))])
    );
}

#[test]
fn the_agent_s_variables_make_a_rate() {
    let variables = [("ENFORCE_CB_ERROR_THRESHOLD", "0.25"), ("ENFORCE_CB_WINDOW_SECONDS", "90")];
    let loaded = load("circuit_breakers: { agent_core: { trip: [{ failures: 3 }] } }", &variables);
    let agent = &loaded.settings().breaker("agent_core").settings;
    let rule = Trip::failure_rate(0.25).over(Window::time(secs(90))).min_calls(20);
    assert_eq!(agent.trip, Some(vec![rule]));
    let rules = load("circuit_breakers: { agent_core: { failure_threshold: 3 } }", &[]);
    let rule = Trip::consecutive_failures(3).within(secs(60));
    assert_eq!(rules.settings().breaker("agent_core").settings.trip, Some(vec![rule]));
}

#[test]
fn every_key_has_a_variable_and_names_are_matched_with_those_of_the_file() {
    let text = "
circuit_breakers: { order-service.v2: {} }
degradation: { partial_results: { success_thresholds: { agent_dag: 0.3 } } }
";
    let loaded = load(
        text,
        &[
            ("MAINSTAY__CIRCUIT_BREAKERS__ORDER_SERVICE_V2__HALF_OPEN__MAX_IN_FLIGHT", "5"),
            ("mainstay__circuit_breakers__New__Open_For__Fixed", "3s"),
            ("MAINSTAY__DEGRADATION__PARTIAL_RESULTS__SUCCESS_THRESHOLDS__AGENT_DAG__MINIMUM", "2"),
            ("MAINSTAY__DEGRADATION__RELAX_AFTER__SEVERE", "10s"),
            ("MAINSTAY__HEALTH__CHECKS__REDIS__DEPENDS_ON", "[network]"),
            ("MAINSTAY__HEALTH__SERVICE", "123"),
            ("MAINSTAY__DEGRADATION__FALLBACK_BEHAVIORS__LLM_CALL__WHEN_DOWN__LLM", "skip"),
        ],
    );
    let settings = loaded.settings();
    assert_eq!(settings.breaker("order-service.v2").settings.half_open.max_in_flight, 5);
    assert_eq!(settings.breaker("new").settings.open_for, OpenFor::fixed(secs(3)));
    let policy = settings.degradation.partial.of("agent_dag");
    assert_eq!((policy.share, policy.minimum), (0.3, 2));
    assert_eq!(settings.degradation.relax_after, [secs(30), secs(30), secs(10)]);
    let depends_on: Vec<_> = settings.health.check("redis").depends_on.clone().unwrap();
    assert_eq!(depends_on, ["network"]);
    assert_eq!(settings.health.service.unwrap(), "123");
}

#[test]
fn a_variable_that_cannot_be_read_or_is_not_known_is_an_error() {
    let errors = refused(
        "",
        &[
            ("CB_REDIS_TIMEOUT", "15"),
            ("CB_REDIS_TIMEOUTS", "15s"),
            ("CB_DB_MAX_REQUESTS", ""),
            ("ENFORCE_CB_ERROR_THRESHOLD", "1.5"),
            ("MAINSTAY__CIRCUIT_BREAKERS__REDIS__OPEN_FRO", "1s"),
            ("MAINSTAY__HEALTH__DRAIN_DELAY", "soon"),
            ("UNRELATED", "x"),
        ],
    );
    let expected = "\
CB_DB_MAX_REQUESTS: circuit_breakers.database.max_requests: found an empty variable, expected a whole number from 1 to 1024
  unset it to use what the file or the default says
CB_REDIS_TIMEOUT: circuit_breakers.redis.timeout: found 15, expected a duration with a unit, such as 250ms, 30s or 1h30m, longer than zero and at most 365days
  a unit is missing: did you mean `15s` or `15ms`?
CB_REDIS_TIMEOUTS: found an unknown variable, expected a variable that is known, or another prefix
  did you mean `CB_REDIS_TIMEOUT`?
ENFORCE_CB_ERROR_THRESHOLD: circuit_breakers.agent_core.error_threshold: found 1.5, expected a number above 0 and at most 1
MAINSTAY__CIRCUIT_BREAKERS__REDIS__OPEN_FRO: circuit_breakers.redis: found an unknown variable, expected a variable that is known: MAINSTAY__ and the keys with `__` between them
  did you mean `MAINSTAY__CIRCUIT_BREAKERS__REDIS__OPEN_FOR`?
MAINSTAY__HEALTH__DRAIN_DELAY: health.drain_delay: found \"soon\", expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days";
    assert_eq!(errors, expected);
}

#[test]
fn two_variables_for_one_key_are_an_error() {
    let variables = [("MAINSTAY__HEALTH__DRAIN_DELAY", "1s"), ("mainstay__health__drain_delay", "2s")];
    let expected = "mainstay__health__drain_delay: health.drain_delay: found a second variable, expected one variable \
                    for a key; there is MAINSTAY__HEALTH__DRAIN_DELAY as well";
    assert_eq!(refused("", &variables), expected);
}

#[test]
fn a_variable_for_a_map_and_one_for_a_key_in_it_are_no_contradiction_unless_both_say_it() {
    let whole = ("MAINSTAY__CIRCUIT_BREAKERS__A", "{ ramp: 1s }");
    let loaded = load("", &[whole, ("MAINSTAY__CIRCUIT_BREAKERS__A__CALL_TIMEOUT", "2s")]);
    let a = &loaded.settings().breaker("a").settings;
    assert_eq!((a.ramp, a.timeout), (Some(secs(1)), Some(secs(2))));
    let errors = refused("", &[whole, ("MAINSTAY__CIRCUIT_BREAKERS__A__RAMP", "2s")]);
    assert!(errors.contains("found a second variable"), "{errors}");
    let variables =
        [("MAINSTAY__DEGRADATION__RELAX_AFTER", "9s"), ("MAINSTAY__DEGRADATION__RELAX_AFTER__SEVERE", "1s")];
    assert!(refused("", &variables).contains("there is MAINSTAY__DEGRADATION__RELAX_AFTER as well"));
    let wrong = [("MAINSTAY__CIRCUIT_BREAKERS__A", "5"), ("MAINSTAY__CIRCUIT_BREAKERS__A__RAMP", "2s")];
    assert_eq!(refused("", &wrong).lines().count(), 2);
}

#[test]
fn an_unknown_variable_is_told_with_the_nearest_of_all_families() {
    let errors = refused(
        "",
        &[("CB_GRPC_CON_TIMEOUT", "1s"), ("ENFORCE_CB_WINDOW", "5"), ("MAINSTAY__HELTH__SEED", "1")],
    );
    for hint in ["did you mean `CB_GRPC_CONN_TIMEOUT`?", "did you mean `MAINSTAY__HEALTH`?"] {
        assert!(errors.contains(hint), "{errors}");
    }
    assert!(errors.contains("ENFORCE_CB_WINDOW: found an unknown variable"), "{errors}");
}

#[test]
fn later_files_replace_earlier_ones() {
    let one = "circuit_breakers: { redis: { timeout: 1s, interval: 1s } }\nhealth: { drain_delay: 1s }";
    let two = "circuit_breakers: { redis: { open_for: { fixed: 2s } } }";
    let loaded = Loader::new().text("one", one).text("two", two).load().unwrap();
    assert_eq!(loaded.settings().breaker("redis").settings.open_for, OpenFor::fixed(secs(2)));
    assert_eq!(loaded.settings().health.drain_delay, secs(1));
    assert_eq!(loaded.origin("circuit_breakers.redis.open_for.fixed").unwrap().to_string(), "two:1:49");
}

#[test]
fn what_code_says_of_a_check_stays_where_the_settings_are_silent() {
    let text = "
health:
  default: { jitter: 0.2 }
  checks:
    redis:
      interval: 7s
      rules: [{ latency_above: 100ms, until: 80ms }, { detail: waiters, above: 5, until: 1, makes: unhealthy }]
";
    let loaded = load(text, &[]);
    let mut code = mainstay_health::CheckSettings::default();
    code.critical = true;
    code.timeout = Some(secs(1));
    let redis = loaded.settings().health.check("redis").apply(code.clone());
    assert!(redis.critical);
    assert_eq!((redis.interval, redis.timeout, redis.jitter), (secs(7), Some(secs(1)), 0.2));
    assert_eq!(redis.rules.len(), 2);
    assert_eq!(redis.rules[1].makes(), mainstay_health::Status::Unhealthy);
    let other = loaded.settings().health.check("other").apply(code);
    assert_eq!((other.interval, other.jitter), (secs(10), 0.2));
}

#[test]
fn health_settings_build_a_manager() {
    let text = "health: { service: s, drain_delay: 0s, blocking_threads: 2, seed: 18446744073709551615, startup_latches: [db] }";
    let health = load(text, &[]).settings().health.clone();
    assert_eq!(health.seed, Some(u64::MAX));
    let manager = health
        .apply(mainstay_health::HealthManager::builder(health.service.unwrap().as_str()))
        .build()
        .unwrap();
    assert!(manager.startup_latch("db").is_some());
}

#[test]
fn degradation_settings_build_a_manager() {
    let text = "
degradation:
  relax_after: { minor: 20s }
  thresholds: { minor: { error_rate: 0.01 }, severe: { latency: 9s } }
  mode_rules: { minor: { force_simple_mode: true } }
  fallback_behaviors: { llm_call: { at: { minor: skip } }, mine: proceed_silently }
  partial_results: { success_thresholds: { other: 0.9, complex: { minimum: 3 }, plan: { minimum: 2, required: [a], weights: { a: 3 } } }, after_quorum: 1s }
";
    let settings = load(text, &[]).settings().degradation.clone();
    // A worse level is held no longer than a better one.
    assert_eq!(settings.relax_after, [secs(20); 3]);
    assert_eq!(settings.thresholds.minor.error_rate, 0.01);
    assert_eq!(settings.partial.of("anything").share, 0.9);
    // What nobody spoke of stays the default's.
    let complex = mainstay_degrade::PartialPolicy::share(0.6).at_least(3);
    assert_eq!(settings.partial.of("complex"), complex);
    let plan = mainstay_degrade::PartialPolicy::share(0.5).at_least(2).require("a").weigh("a", 3.0);
    assert_eq!(settings.partial.of("plan"), plan);
    assert_eq!(settings.after_quorum, Some(secs(1)));
    use mainstay_degrade::{ExecutionMode, Level};
    for level in Level::DEGRADED {
        assert_eq!(settings.modes.granted(level, ExecutionMode::Complex), ExecutionMode::Simple);
    }
    settings.apply(mainstay_degrade::DegradationManager::builder()).build().unwrap();
}

#[test]
fn references_are_filled_in_and_never_shown() {
    let text = "
circuit_breakers: { redis: { timeout: \"${T}\", max_requests: '${N}' } }
health: { service: 'a-${NAME}-$${b}' }
";
    let variables = [("T", "9s"), ("N", "7"), ("NAME", "hidden")];
    let loaded = load(text, &variables);
    let redis = &loaded.settings().breaker("redis").settings;
    assert_eq!((redis.open_for, redis.half_open.max_in_flight), (OpenFor::fixed(secs(9)), 7));
    assert_eq!(loaded.settings().health.service.unwrap(), "a-hidden-${b}");
    assert!(!loaded.show().contains("hidden"), "{}", loaded.show());
    assert!(!format!("{loaded:?}").contains("hidden"));
    assert_eq!(load(&loaded.show(), &variables).fingerprint(), loaded.fingerprint());
    let other = load(text, &[("T", "9s"), ("N", "7"), ("NAME", "else")]);
    let changes: Vec<_> = loaded.diff(&other).iter().map(ToString::to_string).collect();
    assert_eq!(changes, ["health.service: *** -> ***"]);
}
