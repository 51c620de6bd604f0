//! `mainstay config check`: every mistake at once, and 78.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::command::{Ended, Place, SAMPLE, ended, mainstay, piped, run};
use serde_json::{Value, json};

const WRONG: &str = "\
circuit_breakers:
  redis:
    open_fro: 10s
    max_requests: many
gateway: {}
";

#[test]
fn a_file_without_mistakes_ends_with_0() {
    let place = Place::with(&[("mainstay.yaml", SAMPLE)]);
    let fingerprint = place.run(&["config", "show", "--fingerprint", "mainstay.yaml"]).out;
    let expected = format!("mainstay.yaml: no mistakes, fingerprint {fingerprint}");
    assert_eq!(place.run(&["config", "check", "mainstay.yaml"]), Ended::new(0, &expected, ""));
}

#[test]
fn every_mistake_of_files_and_variables_is_told_at_once_and_ends_with_78() {
    let place = Place::with(&[("wrong.yaml", WRONG), ("more.yaml", "health: { drain_delay: 5 }")]);
    let mut command = place.command(&["config", "check", "wrong.yaml", "more.yaml"]);
    let expected = "\
error: wrong.yaml:3:5: circuit_breakers.redis.open_fro: found the unknown key `open_fro`, expected a known key
  did you mean `open_for`?
error: wrong.yaml:4:19: circuit_breakers.redis.max_requests: found \"many\", expected a whole number from 1 to 1024
error: wrong.yaml:5:1: gateway: found the unknown key `gateway`, expected one of `circuit_breakers`, `health`, `degradation`
error: more.yaml:1:24: health.drain_delay: found 5, expected a duration with a unit, such as 250ms, 30s or 1h30m, at most 365days
  a unit is missing: did you mean `5s` or `5ms`?
error: CB_REDIS_TIMEOUT: circuit_breakers.redis.timeout: found 15, expected a duration with a unit, such as 250ms, 30s or 1h30m, longer than zero and at most 365days
  a unit is missing: did you mean `15s` or `15ms`?
5 mistakes
";
    assert_eq!(ended(command.env("CB_REDIS_TIMEOUT", "15")), Ended::new(78, "", expected));
}

#[test]
fn a_section_of_the_programs_own_is_allowed_by_its_name() {
    let own = "gateway: { listen: 1 }\norders: {}\n";
    let place = Place::with(&[("own.yaml", own)]);
    let check = ["config", "check", "own.yaml", "--allow-section", "gateway"];
    let ended = place.run(&check);
    assert_eq!((ended.code, ended.err.lines().last()), (78, Some("1 mistake")), "{ended:?}");
    let ended = place.run(&[&check[..], &["--allow-section", "orders"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn the_variables_of_the_process_count_unless_they_are_ignored() {
    let place = Place::with(&[("f.yaml", "circuit_breakers: { redis: { timeout: '${OPEN}' } }")]);
    let mut command = place.command(&["config", "check", "f.yaml"]);
    command.env("OPEN", "20s").env("CB_DB_TIMEOUT", "never");
    let ended_with = ended(&mut command);
    let expected = "CB_DB_TIMEOUT: circuit_breakers.database.timeout: found \"never\", expected";
    assert!(ended_with.err.contains(expected) && ended_with.err.contains("1 mistake\n"), "{ended_with:?}");
    let ended_without = ended(command.arg("--no-env"));
    let expected = "error: f.yaml:1:39: circuit_breakers.redis.timeout: found `${OPEN}`, expected a variable that is set\n1 mistake\n";
    assert_eq!(ended_without, Ended::new(78, "", expected));
}

#[test]
fn what_a_variable_brings_in_is_not_told() {
    let place = Place::with(&[("f.yaml", "circuit_breakers: { redis: { timeout: '${OPEN}' } }")]);
    for format in ["text", "json"] {
        let mut command = place.command(&["config", "check", "f.yaml", "--format", format]);
        let ended = ended(command.env("OPEN", "hunter2"));
        assert_eq!(ended.code, 78);
        assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    }
}

#[test]
fn what_is_perhaps_not_meant_is_a_warning() {
    let place = Place::with(&[("f.yaml", "health: { checks: { redis: { critical: true } } }")]);
    let ended = place.run(&["config", "check", "f.yaml"]);
    assert_eq!(ended.code, 0);
    assert!(ended.out.starts_with("f.yaml: no mistakes, fingerprint "), "{ended:?}");
    let expected = "warning: f.yaml:1:40: health.checks.redis: critical without a `scope`; if every replica uses it, say `scope: shared`\n";
    assert_eq!(ended.err, expected);
}

#[test]
fn warnings_are_told_beside_mistakes() {
    let text = "health: { checks: { redis: { critical: true } }, drain_delay: soon }";
    let place = Place::with(&[("f.yaml", text)]);
    let ended = place.run(&["config", "check", "f.yaml"]);
    assert_eq!((ended.code, ended.out.as_str()), (78, ""));
    assert!(
        ended.err.starts_with("warning: f.yaml:1:40: health.checks.redis: critical without"),
        "{ended:?}"
    );
    assert!(ended.err.contains("\nerror: f.yaml:1:63: health.drain_delay: "), "{ended:?}");
    assert!(ended.err.ends_with("\n1 mistake\n"), "{ended:?}");
}

#[test]
fn what_keys_and_files_are_called_does_not_reach_the_terminal() {
    let text = "\"\\e[31mred\\n\": 1";
    let place = Place::with(&[("\u{1b}[1m\n.yaml", text), ("fine\u{7}.yaml", "")]);
    let ended = place.run(&["config", "check", "\u{1b}[1m\n.yaml"]);
    let expected = "error: \\u{1b}[1m\\n.yaml:1:1: \"\\u{1b}[31mred\\n\": found the unknown key `\\u{1b}[31mred\\n`, expected";
    assert!(ended.err.starts_with(expected), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 2, "{}", ended.err);
    let ended = place.run(&["config", "check", "fine\u{7}.yaml"]);
    assert!(ended.out.starts_with("fine\\u{7}.yaml: no mistakes"), "{}", ended.out);
}

#[test]
fn machines_read_every_mistake_with_its_parts() {
    let place = Place::with(&[("wrong.yaml", WRONG)]);
    let mut command = place.command(&["config", "check", "wrong.yaml", "--format", "json"]);
    let ended = ended(command.args(["--allow-section", "gateway"]).env("CB_REDIS_TIMEOUT", "15"));
    assert_eq!((ended.code, ended.err.as_str()), (78, ""));
    let expected = json!({
        "ok": false,
        "fingerprint": null,
        "errors": [
            {
                "file": "wrong.yaml", "line": 3, "column": 5, "variable": null,
                "path": "circuit_breakers.redis.open_fro",
                "found": "the unknown key `open_fro`", "expected": "a known key",
                "hint": "did you mean `open_for`?",
            },
            {
                "file": "wrong.yaml", "line": 4, "column": 19, "variable": null,
                "path": "circuit_breakers.redis.max_requests",
                "found": "\"many\"", "expected": "a whole number from 1 to 1024",
                "hint": null,
            },
            {
                "file": null, "line": null, "column": null, "variable": "CB_REDIS_TIMEOUT",
                "path": "circuit_breakers.redis.timeout",
                "found": "15",
                "expected": "a duration with a unit, such as 250ms, 30s or 1h30m, longer than zero and at most 365days",
                "hint": "a unit is missing: did you mean `15s` or `15ms`?",
            },
        ],
        "warnings": [],
    });
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), expected);
}

#[test]
fn machines_read_what_is_fine_and_its_warnings() {
    let text = "health: { checks: { redis: { critical: true } } }";
    let place = Place::with(&[]);
    let ended = piped(&mut place.command(&["config", "check", "--format", "json", "-"]), text);
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let found: Value = serde_json::from_str(&ended.out).unwrap();
    let fingerprint = piped(&mut place.command(&["config", "show", "--fingerprint", "-"]), text).out;
    assert_eq!(found["ok"], true);
    assert_eq!(found["fingerprint"], fingerprint.trim_end());
    assert_eq!(found["errors"], json!([]));
    let expected = json!([{
        "file": "<stdin>", "line": 1, "column": 40, "variable": null, "path": "health.checks.redis",
        "text": "critical without a `scope`; if every replica uses it, say `scope: shared`",
    }]);
    assert_eq!(found["warnings"], expected);
}

#[test]
fn standard_input_is_a_file_like_any_other() {
    let place = Place::with(&[("base.yaml", SAMPLE)]);
    let mut command = place.command(&["config", "check", "base.yaml", "-"]);
    let ended = piped(&mut command, "health: { drain_delay: soon }");
    let expected = "error: <stdin>:1:24: health.drain_delay: found \"soon\", expected a duration";
    assert!(ended.err.starts_with(expected), "{ended:?}");
    assert_eq!(ended.code, 78);

    let ended = piped(&mut command, b"health: \xff");
    let expected = "error: <stdin>: found a byte that is not UTF-8, after 8, expected at most 1048576 bytes of YAML\n1 mistake\n";
    assert_eq!(ended, Ended::new(78, "", expected));

    let ended = piped(&mut command, "#".repeat((1 << 20) + 1000));
    assert_eq!(ended.code, 78);
    assert!(ended.err.ends_with("expected at most 1048576 bytes\n1 mistake\n"), "{ended:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let place = Place::with(&[("-", "health: {}")]);
    let ended = place.run(&["config", "check", "nowhere.yaml"]);
    let expected = "error: nowhere.yaml: found what cannot be read (entity not found), expected a file of at most 1048576 bytes of YAML\n1 mistake\n";
    assert_eq!(ended, Ended::new(78, "", expected));
    assert_eq!(place.run(&["config", "check", "./-"]).code, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_in_the_place_of_a_file_is_read_to_its_end() {
    let ended = piped(&mut mainstay(&["config", "check", "/dev/stdin"]), "health: { drain_delay: soon }");
    assert_eq!(ended.code, 78, "{ended:?}");
    assert!(
        ended.err.starts_with("error: /dev/stdin:1:24: health.drain_delay: found \"soon\""),
        "{}",
        ended.err
    );
    assert_eq!(piped(&mut mainstay(&["config", "check", "/dev/fd/0"]), "health: {}").code, 0);
}

#[test]
fn a_name_that_turns_its_direction_is_shown_as_it_is() {
    let place = Place::with(&[("a\u{202e}b.yaml", "")]);
    let ended = place.run(&["config", "check", "a\u{202e}b.yaml"]);
    assert!(ended.out.starts_with("a\\u{202e}b.yaml: no mistakes"), "{}", ended.out);
}

#[test]
fn the_schema_allows_sections_that_are_asked_for() {
    let schema = run(&["config", "schema", "--allow-section", "gateway"]);
    assert_eq!(schema.code, 0);
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert!(
        schema.pointer("/properties/gateway").is_some()
            && schema.pointer("/properties/health/properties").is_some()
    );
    assert!(!run(&["config", "schema"]).out.contains("gateway"));
}
