//! Each kind of mistake, with what is said about it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use mainstay_config::{Environment, Loader};

fn refused(text: &str) -> String {
    let environment = Environment::from_iter([("SECRET", "swordfish"), ("DATABASE_HOST", "x")]);
    match Loader::new().text("m.yaml", text).environment(environment).load() {
        Ok(loaded) => panic!("was not refused:\n{}", loaded.show()),
        Err(errors) => errors.to_string(),
    }
}

macro_rules! says {
    ($($name:ident: $text:expr => $expected:expr;)*) => {
        $(#[test]
        fn $name() {
            assert_eq!(refused($text), $expected);
        })*
    };
}

says! {
    an_unknown_key_is_told_with_the_nearest_known_one:
        "circuit_breakers:\n  redis:\n    open_fro: 10s\n" =>
        "m.yaml:3:5: circuit_breakers.redis.open_fro: found the unknown key `open_fro`, expected a known key\n  did you mean `open_for`?";
    an_unknown_key_that_is_like_no_other_is_told_with_all_known_ones:
        "health:\n  xyzzyxyzzy: 1\n" =>
        "m.yaml:2:3: health.xyzzyxyzzy: found the unknown key `xyzzyxyzzy`, expected one of `service`, `drain_delay`, `drain_limit`, `blocking_threads`, `check_now_gap`, `seed`, `startup_latches`, `default`, `checks`";
    an_unknown_section_is_told:
        "circuit_breaker: {}\n" =>
        "m.yaml:1:1: circuit_breaker: found the unknown key `circuit_breaker`, expected a known key\n  did you mean `circuit_breakers`?";
    a_bad_duration_is_told:
        "health:\n  drain_delay: 10 parsecs\n" =>
        "m.yaml:2:16: health.drain_delay: found \"10 parsecs\", expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days";
    a_duration_without_a_unit_is_told:
        "circuit_breakers: { redis: { timeout: 30 } }" =>
        "m.yaml:1:39: circuit_breakers.redis.timeout: found 30, expected a duration with a unit, such as 250ms, 30s or 1h30m, longer than zero and at most 365days\n  a unit is missing: did you mean `30s` or `30ms`?";
    a_wrong_type_is_told:
        "circuit_breakers:\n  redis: 5\n" =>
        "m.yaml:2:10: circuit_breakers.redis: found 5, expected a map with keys of `enabled`, `on_state_change`, `trip`, `open_for`, `half_open`, `ramp`, `call_timeout`, `retry_after_cap`, `count_dropped_as_failure`, `max_requests`, `interval`, `timeout`, `failure_threshold`, `max_failures`, `success_threshold`";
    a_quoted_number_is_told:
        "circuit_breakers: { redis: { max_requests: '5' } }" =>
        "m.yaml:1:44: circuit_breakers.redis.max_requests: found \"5\", expected a whole number from 1 to 1024\n  leave the quotes away";
    a_number_as_a_name_is_told:
        "health: { service: 5 }" =>
        "m.yaml:1:20: health.service: found 5, expected a name of 1 to 128 bytes\n  put it into quotes";
    nothing_is_told:
        "health: { service: }" =>
        "m.yaml:1:18: health.service: found nothing, expected a name of 1 to 128 bytes";
    out_of_range_is_told:
        "circuit_breakers: { redis: { half_open: { max_in_flight: 1025 } } }" =>
        "m.yaml:1:58: circuit_breakers.redis.half_open.max_in_flight: found 1025, expected a whole number from 1 to 1024";
    a_wrong_word_is_told:
        "degradation: { fallback_behaviors: { a: { at: { severe: skp } } } }" =>
        "m.yaml:1:57: degradation.fallback_behaviors.a.at.severe: found \"skp\", expected one of `degrade`, `cache`, `skip`, `fail`\n  did you mean `skip`?";
    two_words_for_one_thing_are_told:
        "circuit_breakers:\n  redis:\n    failure_threshold: 5\n    max_failures: 5\n" =>
        "m.yaml:4:5: circuit_breakers.redis.max_failures: found `max_failures` beside `failure_threshold`, expected one of the two, because they say the same thing";
    the_open_time_said_twice_is_told:
        "circuit_breakers:\n  redis:\n    open_for: { fixed: 1s }\n    timeout: 5s\n" =>
        "m.yaml:4:5: circuit_breakers.redis.timeout: found `timeout` beside `open_for.fixed`, expected one of the two, because they say the same thing";
    the_probes_said_twice_are_told:
        "circuit_breakers:\n  redis:\n    max_requests: 5\n    half_open: { max_in_flight: 5 }\n" =>
        "m.yaml:4:18: circuit_breakers.redis.half_open: found `half_open.max_in_flight` beside `max_requests`, expected one of the two, because they say the same thing";
    a_key_said_twice_is_told:
        "health:\n  drain_delay: 1s\n  drain_delay: 2s\n" =>
        "m.yaml:3:3: health.drain_delay: found a second `drain_delay`, expected each key once; the first `drain_delay` is in line 2";
    a_mistake_of_syntax_is_told:
        "health:\n  drain_delay: [1s\n" =>
        "m.yaml:3:1: found a mistake of syntax (while parsing a flow sequence, expected ',' or ']'), expected a YAML document";
    a_tab_is_told:
        "health:\n\tdrain_delay: 1s\n" =>
        "m.yaml:2:2: found a mistake of syntax (tabs disallowed within this context (block indentation)), expected a YAML document";
    a_second_document_is_told:
        "health: {}\n---\nhealth: {}\n" =>
        "m.yaml:2:1: found a second document, expected one document";
    a_tag_is_told:
        "health: !!map {}\n" =>
        "m.yaml:1:9: found a tag, expected a value without a tag";
    a_document_that_is_no_map_is_told:
        "- 1\n" =>
        "m.yaml:1:1: found a list, expected a map of sections";
    a_rule_of_two_kinds_is_told:
        "circuit_breakers:\n  a:\n    trip:\n      - failure_rate: 0.5\n        failures: 3\n" =>
        "m.yaml:4:9: circuit_breakers.a.trip[0]: found `failure_rate`, `failures`, expected one of `consecutive_failures`, `failure_rate`, `slow_rate` with `slower_than`, `failures`";
    a_minimum_above_the_window_is_told:
        "circuit_breakers:\n  a:\n    trip:\n      - { failures: 3 }\n      - failure_rate: 0.5\n        over: { calls: 10 }\n        min_calls: 20\n" =>
        "m.yaml:7:20: circuit_breakers.a.trip[1].min_calls: found 20, expected a value that must be at most the window's 10 calls";
    two_rules_of_consecutive_failures_are_told:
        "circuit_breakers: { a: { trip: [{ consecutive_failures: 3 }, { consecutive_failures: 4 }] } }" =>
        "m.yaml:1:32: circuit_breakers.a.trip: found 2 rules, expected a list that must have at most one rule of consecutive failures";
    no_rules_are_told:
        "circuit_breakers: { a: { trip: [] } }" =>
        "m.yaml:1:32: circuit_breakers.a.trip: found a list of 0, expected a list of 1 to 8, each a map with keys of `consecutive_failures`, `failure_rate`, `slow_rate`, `failures`, `slower_than`, `over`, `min_calls`, `within`";
    a_cap_below_the_first_time_is_told:
        "circuit_breakers:\n  a:\n    open_for:\n      first: 10s\n      cap: 5s\n" =>
        "m.yaml:5:12: circuit_breakers.a.open_for.cap: found \"5s\", expected a value that must be at least `first`";
    a_mistake_in_the_default_breaker_is_told_once:
        "circuit_breakers:\n  default: { open_for: { first: 9s, cap: 1s } }\n  a: {}\n  b: {}\n" =>
        "m.yaml:2:42: circuit_breakers.default.open_for.cap: found \"1s\", expected a value that must be at least `first`";
    thresholds_that_fall_are_told:
        "degradation:\n  thresholds:\n    minor: { breakers_open: 4 }\n    moderate: { breakers_open: 3, error_rate: 0.5 }\n" =>
        "m.yaml:4:32: degradation.thresholds.moderate.breakers_open: found 3, expected a figure that must not be less than that of a better level\nm.yaml:4:47: degradation.thresholds.moderate.error_rate: found 0.5, expected at most that of a worse level, 0.3 (severe, default)";
    latencies_that_are_not_told_apart_are_told_at_each_level:
        "degradation:\n  thresholds:\n    minor: { latency: 1us }\n    moderate: { latency: 9us }\n" =>
        "m.yaml:3:23: degradation.thresholds.minor.latency: found \"1us\", expected a figure that must be from 10 us to 1 h, or zero if it is not used\nm.yaml:4:26: degradation.thresholds.moderate.latency: found \"9us\", expected a figure that must be from 10 us to 1 h, or zero if it is not used";
    a_latency_that_is_too_long_is_told_with_the_longest:
        "degradation: { thresholds: { severe: { latency: 2h }, moderate: { latency_threshold_ms: 3600001 } } }" =>
        "m.yaml:1:49: degradation.thresholds.severe.latency: found \"2h\", expected a duration with a unit, such as 250ms, 30s or 1h30m, from 0s to 1h\nm.yaml:1:89: degradation.thresholds.moderate.latency_threshold_ms: found 3600001, expected a whole number from 0 to 3600000";
    a_weaker_behavior_at_a_worse_level_is_told:
        "degradation:\n  fallback_behaviors:\n    a:\n      at:\n        minor: fail\n        severe: cache\n" =>
        "m.yaml:6:17: degradation.fallback_behaviors.a.at.severe: found \"cache\", expected nothing weaker than `fail`, as it is at minor (m.yaml:5:16)";
    a_stronger_behavior_that_is_said_later_of_a_better_level_is_told:
        "degradation:\n  fallback_behaviors:\n    a:\n      at:\n        severe: cache\n        moderate: cache\n        minor: fail\n" =>
        "m.yaml:7:16: degradation.fallback_behaviors.a.at.minor: found \"fail\", expected nothing stronger than `cache`, as it is at moderate (m.yaml:6:19)";
    a_figure_said_twice_is_told:
        "degradation: { thresholds: { minor: { latency: 1s, latency_threshold_ms: 1000 } } }" =>
        "m.yaml:1:52: degradation.thresholds.minor.latency_threshold_ms: found `latency_threshold_ms` beside `latency`, expected one of the two, because they say the same thing";
    a_worse_level_that_is_held_longer_is_told:
        "degradation: { relax_after: { minor: 10s, severe: 20s } }" =>
        "m.yaml:1:51: degradation.relax_after.severe: found \"20s\", expected at most that of a better level, 10s (m.yaml:1:38)";
    a_mode_denied_at_a_better_level_is_told:
        "degradation:\n  mode_rules:\n    minor: { complex_to_simple: true }\n    severe: { complex_to_simple: false, force_simple_mode: false }\n" =>
        "m.yaml:4:34: degradation.mode_rules.severe.complex_to_simple: found false, expected true, because it is so at moderate already (m.yaml:3:33)";
    more_at_a_worse_level_is_told:
        "degradation:\n  mode_rules:\n    minor: { complex_to_simple: true }\n    moderate: { complex_to_standard: true }\n" =>
        "m.yaml:4:38: degradation.mode_rules.moderate.complex_to_standard: found true, expected no more than at minor, where complex gets simple already";
    a_time_out_longer_than_the_interval_is_told:
        "health:\n  checks:\n    redis: { interval: 5s, timeout: 5s }\n" =>
        "m.yaml:3:37: health.checks.redis.timeout: found \"5s\", expected less than the interval of 5s";
    a_fleet_guard_that_is_too_long_is_told:
        "health: { checks: { a: { fleet_guard: { spread_over: 30s, fail_open_after: 11s } } } }" =>
        "m.yaml:1:76: health.checks.a.fleet_guard.fail_open_after: found \"11s\", expected at most a third of spread_over, 10s";
    a_rule_of_a_check_that_ends_above_its_beginning_is_told:
        "health: { checks: { a: { rules: [{ latency_above: 1s, until: 2s }] } } }" =>
        "m.yaml:1:62: health.checks.a.rules[0].until: found \"2s\", expected at most the time at which it begins";
    an_unset_variable_is_told:
        "health:\n  service: ${DATABASE_HOTS}\n" =>
        "m.yaml:2:12: health.service: found `${DATABASE_HOTS}`, expected a variable that is set\n  did you mean `DATABASE_HOST`?";
    a_reference_without_an_end_is_told:
        "health:\n  service: a${B\n" =>
        "m.yaml:2:12: health.service: found `${` without `}`, expected `${VARIABLE}`, or `$${` for the characters `${`";
    a_value_from_a_variable_is_not_told:
        "health:\n  drain_delay: ${SECRET}\n" =>
        "m.yaml:2:16: health.drain_delay: found ***, expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days";
    a_name_that_is_none_is_told:
        "circuit_breakers: { ' a': {} }" =>
        "m.yaml:1:21: circuit_breakers.\" a\": found the name \" a\", expected a name: it must not begin or end with white space";
    an_alias_of_what_is_not_finished_is_told:
        "health: &a { default: *a }" =>
        "m.yaml:1:23: found an alias of what is not finished, expected an alias of an anchor above it";
    a_latch_said_twice_is_told:
        "health: { startup_latches: [a, b, a] }" =>
        "m.yaml:1:35: health.startup_latches[2]: found \"a\", expected each entry once";
    half_a_fleet_guard_is_told:
        "health: { checks: { a: { fleet_guard: { spread_over: 1m } } } }" =>
        "m.yaml:1:39: health.checks.a.fleet_guard: found not both, expected both `spread_over` and `fail_open_after`";
    what_is_for_internal_checks_is_told:
        "health: { checks: { a: { scope: shared, restart_on_failure: true } } }" =>
        "m.yaml:1:61: health.checks.a.restart_on_failure: found true, expected a critical internal check";
    what_is_for_shared_checks_is_told:
        "health: { checks: { a: { critical: false, first_success_within: 1m } } }" =>
        "m.yaml:1:65: health.checks.a.first_success_within: found \"1m\", expected a critical shared check";
    a_confirmation_longer_than_the_interval_is_told:
        "health: { default: { interval: 1s }, checks: { a: { confirmation: 2s } } }" =>
        "m.yaml:1:67: health.checks.a.confirmation: found \"2s\", expected at most the interval of 1s";
    a_rule_of_a_check_without_a_figure_is_told:
        "health: { checks: { a: { rules: [{ detail: x }] } } }" =>
        "m.yaml:1:34: health.checks.a.rules[0]: found `detail`, expected `latency_above`, or `detail` with `above` or `below`";
    a_window_of_neither_kind_is_told:
        "circuit_breakers: { a: { trip: [{ failures: 3, over: {} }] } }" =>
        "m.yaml:1:54: circuit_breakers.a.trip[0].over: found neither, expected `calls` or `time`";
    a_window_for_consecutive_failures_is_told:
        "circuit_breakers: { a: { trip: [{ consecutive_failures: 3, min_calls: 2 }] } }" =>
        "m.yaml:1:71: circuit_breakers.a.trip[0].min_calls: found 2, expected something else: consecutive failures have no minimum";
    a_list_where_none_belongs_is_told:
        "health: { drain_delay: [1s] }" =>
        "m.yaml:1:24: health.drain_delay: found a list, expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days";
    a_scalar_where_a_list_belongs_is_told:
        "health: { startup_latches: a }" =>
        "m.yaml:1:28: health.startup_latches: found \"a\", expected a list of at most 64, each a name of 1 to 128 bytes";
    a_merge_key_is_told:
        "health: { default: &d { jitter: 0.1 }, checks: { a: { <<: *d } } }" =>
        "m.yaml:1:55: health.checks.a.<<: found the merge key `<<`, expected keys with values of their own\n  merge keys are not supported; use `default`";
    a_merge_key_among_names_is_told:
        "circuit_breakers: { a: &a {}, b: { <<: *a }, <<: *a }" =>
        "m.yaml:1:36: circuit_breakers.b.<<: found the merge key `<<`, expected keys with values of their own\n  merge keys are not supported; use `default`\nm.yaml:1:46: circuit_breakers.<<: found the merge key `<<`, expected keys with values of their own\n  merge keys are not supported; use `default`";
    what_stands_beside_a_key_said_twice_and_a_tag_is_told:
        "health: { seed: 1, seed: x, service: !!str s, drain_delay: soon }" =>
        "m.yaml:1:20: health.seed: found a second `seed`, expected each key once; the first `seed` is in line 1\nm.yaml:1:38: found a tag, expected a value without a tag\nm.yaml:1:60: health.drain_delay: found \"soon\", expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days";
    months_and_years_are_told_from_minutes:
        "health: { drain_delay: 5M }" =>
        "m.yaml:1:24: health.drain_delay: found \"5M\", expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days\n  `m` is minutes; there are no months and years";
    a_duration_that_no_unit_helps_has_no_hint:
        "circuit_breakers: { redis: { timeout: -5 } }" =>
        "m.yaml:1:39: circuit_breakers.redis.timeout: found -5, expected a duration with a unit, such as 250ms, 30s or 1h30m, longer than zero and at most 365days";
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_their_places() {
    let text = "\
degradation: { check_interval: 0s }
health: { seed: -1 }
circuit_breakers: { a: { enabled: yes }, b: { ramp: -5s } }
";
    let places: Vec<String> = Loader::new()
        .text("m.yaml", text)
        .load()
        .unwrap_err()
        .iter()
        .map(|error| format!("{} {}", error.origin, error.path))
        .collect();
    let expected = [
        "m.yaml:1:32 degradation.check_interval",
        "m.yaml:2:17 health.seed",
        "m.yaml:3:35 circuit_breakers.a.enabled",
        "m.yaml:3:53 circuit_breakers.b.ramp",
    ];
    assert_eq!(places, expected);
}

#[test]
fn what_is_too_big_or_too_deep_is_told() {
    assert_eq!(
        refused(&" ".repeat((1 << 20) + 1)),
        "m.yaml: found 1048577 bytes, expected at most 1048576 bytes"
    );
    let deep = refused(&format!("health: {}", "[".repeat(100)));
    assert_eq!(deep, "m.yaml:1:72: found a deeper one, expected at most 64 maps and lists in each other");
    let mut laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for (name, of) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
        laughs += &format!("{name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n");
    }
    let laughs = refused(&laughs);
    assert!(laughs.ends_with("found too many values, expected at most 65536, aliases expanded"), "{laughs}");
}

#[test]
fn aliases_in_aliases_are_no_way_to_be_deeper() {
    let mut text = "a0: &a0 1\n".to_owned();
    for depth in 1..100 {
        text += &format!("a{depth}: &a{depth} [*a{}]\n", depth - 1);
    }
    let errors = refused(&text);
    assert_eq!(errors, "m.yaml:65:12: found a deeper one, expected at most 64 maps and lists in each other");
}

#[test]
fn contradictions_are_told_beside_values_that_are_wrong_elsewhere() {
    let text = "
circuit_breakers:
  a: { open_for: { first: 9s, cap: 1s } }
  b: { open_for: { first: oops, cap: 1s } }
degradation:
  check_interval: never
  relax_after: { minor: 1s, severe: 2s }
";
    let errors = Loader::new().text("m.yaml", text).load().unwrap_err();
    let places: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    let expected = [
        "circuit_breakers.a.open_for.cap",
        "circuit_breakers.b.open_for.first",
        "degradation.check_interval",
        "degradation.relax_after.severe",
    ];
    assert_eq!(places, expected);
}

#[test]
fn a_file_that_cannot_be_read_is_told() {
    let errors = Loader::new().file("/nowhere/mainstay.yaml").load().unwrap_err().to_string();
    let expected = "/nowhere/mainstay.yaml: found what cannot be read (entity not found), expected a file of at most 1048576 bytes of YAML";
    assert_eq!(errors, expected);
}

#[test]
fn mistakes_are_told_in_the_order_in_which_the_files_were_given() {
    let environment = Environment::from_iter([("CB_DB_TIMEOUT", "x"), ("MAINSTAY__HEALTH__SEED", "x")]);
    let errors = Loader::new()
        .text("z.yaml", "health: { drain_delay: x }\ndegradation: { check_interval: x }")
        .text("a.yaml", "health: { drain_limit: x }")
        .text("a.yaml", "health: { check_now_gap: x }")
        .environment(environment)
        .load()
        .unwrap_err();
    let places: Vec<String> = errors.iter().map(|error| format!("{} {}", error.origin, error.path)).collect();
    let expected = [
        "z.yaml:1:24 health.drain_delay",
        "z.yaml:2:32 degradation.check_interval",
        "a.yaml:1:24 health.drain_limit",
        "a.yaml:1:26 health.check_now_gap",
        "CB_DB_TIMEOUT circuit_breakers.database.timeout",
        "MAINSTAY__HEALTH__SEED health.seed",
    ];
    assert_eq!(places, expected);
}

#[test]
fn of_two_contradictory_values_the_one_of_the_later_file_is_told() {
    let first = "degradation: { relax_after: { minor: 1s, moderate: 1s, severe: 1s }, fallback_behaviors: { a: { at: { severe: cache } } } }";
    let second = "degradation: { fallback_behaviors: { a: { at: { minor: fail } } } }";
    let errors = Loader::new().text("z.yaml", first).text("a.yaml", second).load().unwrap_err();
    let places: Vec<String> = errors.iter().map(|error| error.origin.to_string()).collect();
    assert_eq!(places, ["a.yaml:1:56"]);
}

#[test]
fn names_of_keys_and_files_cannot_write_on_a_terminal_or_begin_a_line() {
    let evil = "\u{1b}[31m\nhealth\u{9b}\u{202e}";
    let key = r#""\x1b[31m\nhealth\x9b\u202e""#;
    let text = format!(
        "{key}: {{}}\ncircuit_breakers: {{ {key}: {{ {key}: 1 }}, a: {{ trip: [{{ {key}: 1 }}] }} }}\nhealth: {{ service: {key} }}"
    );
    let environment = Environment::from_iter([(format!("CB_REDIS_{evil}"), "1".to_owned())]);
    let errors = Loader::new().text(evil, &text).environment(environment).load().unwrap_err();
    assert!(errors.iter().count() >= 4, "{errors:?}");
    let told = errors.to_string();
    assert!(told.lines().count() <= 2 * errors.iter().count(), "{told}");
    assert!(!told.chars().any(|char| char != '\n' && (char.is_control() || char == '\u{202e}')), "{told:?}");
    assert!(told.starts_with("\\u{1b}[31m\\nhealth\\u{9b}\\u{202e}:1:1: "), "{told}");
}
