//! `mainstay config show`: what is in force, and where it comes from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::command::{Ended, Place, SAMPLE, ended, piped};
use serde_json::{Value, json};

const BASE: &str = "\
circuit_breakers:
  redis: { timeout: 60s, max_failures: 5 }
  'a b.c \"#\"': { trip: [{ failures: 3 }] }
health: { service: 'yes', checks: { '0x10': { interval: 10s } } }
degradation: { partial_results: { success_thresholds: { a: { required: ['0x1F', '1_000', '1e400', '1:30', 'y # n', '~', '$${x}'] } } } }
";

#[test]
fn each_value_is_shown_with_its_origin() {
    let place = Place::with(&[
        ("base.yaml", "circuit_breakers: { redis: { timeout: 60s, max_failures: 5 } }"),
        ("production.yaml", "circuit_breakers:\n  redis:\n    max_requests: 7\n"),
    ]);
    let mut command = place.command(&["config", "show", "base.yaml", "production.yaml"]);
    let ended = ended(command.env("CB_REDIS_TIMEOUT", "20s").env("MAINSTAY__HEALTH__DRAIN_DELAY", "7s"));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let redis = "\
circuit_breakers:
  redis:
    enabled: true # default
    on_state_change: true # default
    trip:
      - consecutive_failures: 5 # base.yaml:1
        within: 30s # default of CB_REDIS_*
    open_for:
      fixed: 20s # CB_REDIS_TIMEOUT
      jitter: 0 # default
    half_open:
      max_in_flight: 7 # production.yaml:3
      close_after: 2 # default of CB_REDIS_*
";
    assert!(ended.out.starts_with(redis), "{}", ended.out);
    assert!(ended.out.contains("\n  drain_delay: 7s # MAINSTAY__HEALTH__DRAIN_DELAY\n"), "{}", ended.out);
}

#[test]
fn what_is_shown_loads_again_to_the_same_fingerprint() {
    let place = Place::with(&[]);
    for text in ["", BASE, SAMPLE] {
        let run = |arguments: &[&str], text: &str| {
            let ended = piped(&mut place.command(&[&["config", "show"], arguments].concat()), text);
            assert_eq!((ended.code, ended.err.as_str()), (0, ""));
            ended.out
        };
        let fingerprint = run(&["--fingerprint", "-"], text);
        assert_eq!(fingerprint.len(), 17, "16 digits and the end of the line: {fingerprint}");
        assert_eq!(run(&["--fingerprint", "-"], &run(&["-"], text)), fingerprint);
        let shown: Value = serde_json::from_str(&run(&["--format", "json", "-"], text)).unwrap();
        assert_eq!(shown["fingerprint"], fingerprint.trim_end());
        assert_eq!(run(&["--fingerprint", "-"], &shown["settings"].to_string()), fingerprint);
    }
}

#[test]
fn machines_read_the_settings_and_the_origin_of_each_value() {
    let place = Place::with(&[("base.yaml", BASE)]);
    let mut command = place.command(&["config", "show", "--format", "json", "base.yaml"]);
    let ended = ended(command.env("CB_REDIS_TIMEOUT", "20s"));
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let shown: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(shown["settings"]["circuit_breakers"]["redis"]["open_for"]["fixed"], "20s");

    for (path, origin) in [
        ("/circuit_breakers/redis/open_for/fixed", "CB_REDIS_TIMEOUT"),
        ("/circuit_breakers/redis/trip/0/consecutive_failures", "base.yaml:2"),
        ("/circuit_breakers/redis/half_open/close_after", "default of CB_REDIS_*"),
        ("/circuit_breakers/a b.c \"#\"/trip/0/failures", "base.yaml:3"),
        ("/circuit_breakers/redis/enabled", "default"),
        ("/health/checks/0x10/interval", "base.yaml:4"),
    ] {
        assert_eq!(shown["origins"].pointer(path), Some(&json!(origin)), "{path}");
    }
    let origins: Vec<&str> = ended.out.lines().skip_while(|line| !line.contains("\"origins\"")).collect();
    let listed = place.run(&["config", "show", "base.yaml"]).out;
    let leaves = |line: &&&str| line.trim_end_matches(',').ends_with('"');
    let origins = origins.iter().filter(leaves).count();
    assert_eq!(origins, listed.lines().filter(|line| line.contains(" # ")).count());
}

#[test]
fn texts_stay_texts_for_machines() {
    let place = Place::with(&[("base.yaml", BASE)]);
    let shown = place.run(&["config", "show", "--format", "json", "base.yaml"]).out;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let required = shown.pointer("/settings/degradation/partial_results/success_thresholds/a/required");
    let expected = json!(["0x1F", "1_000", "1e400", "1:30", "y # n", "~", "$${x}"]);
    assert_eq!(required, Some(&expected));
    assert_eq!(shown["settings"]["health"]["service"], "yes");
}

#[test]
fn what_a_variable_brings_in_is_not_shown() {
    let place = Place::with(&[("f.yaml", "health: { service: '${NAME}' }")]);
    for format in ["yaml", "json"] {
        let mut command = place.command(&["config", "show", "--format", format, "f.yaml"]);
        let ended = ended(command.env("NAME", "hunter2"));
        assert_eq!(ended.code, 0);
        assert!(ended.out.contains("\"${NAME}\"") && !ended.out.contains("hunter2"), "{}", ended.out);
    }
}

#[test]
fn wrong_settings_are_not_shown_but_told() {
    let place = Place::with(&[("f.yaml", "health: { drain_delay: -1s }\ncircuit: {}\n")]);
    for arguments in [&["f.yaml"][..], &["--format", "json", "f.yaml"], &["--fingerprint", "f.yaml"]] {
        let Ended { code, out, err } = place.run(&[&["config", "show"], arguments].concat());
        assert_eq!((code, out.as_str()), (78, ""));
        assert!(
            err.starts_with("error: f.yaml:1:24: health.drain_delay: ") && err.ends_with("\n2 mistakes\n"),
            "{err}"
        );
    }
}
