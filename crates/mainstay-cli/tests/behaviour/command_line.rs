//! Help, version, usage, and what there is to know about files in general.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::command::{Ended, Place, run};
use mainstay_config::Settings;
use serde_json::Value;

#[test]
fn the_schema_and_the_keys_are_those_of_the_library() {
    let Ended { code, out, err } = run(&["config", "schema"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), Settings::schema());
    assert_eq!(run(&["config", "keys"]), Ended::new(0, &Settings::table(), ""));
}

#[test]
fn there_are_completions_for_shells() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ended = run(&["completions", shell]);
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{shell}");
        assert!(ended.out.contains("mainstay") && ended.out.contains("fingerprint"), "{shell}");
    }
    assert_eq!(run(&["completions", "tcsh"]).code, 2);
}

#[test]
fn there_is_help_with_examples_and_exit_codes_at_each_level() {
    let codes = "Exit codes";
    for (words, expected) in [
        (&[][..], &["Examples:", codes, "78"][..]),
        (&["config"], &[codes, "78"]),
        (&["config", "check"], &["Examples:", codes, "--allow-section", "--no-env", "78"]),
        (&["config", "show"], &["Examples:", codes, "--fingerprint", "78"]),
        (&["config", "diff"], &["Examples:", codes, "1 different", "78"]),
        (&["config", "schema"], &["Example:", "yaml-language-server"]),
        (&["config", "keys"], &["Example:"]),
        (&["probe"], &[codes, "2  no connection"]),
        (&["probe", "http"], &["Examples:", "HEALTHCHECK", codes, "--timeout"]),
        (&["probe", "grpc"], &["Examples:", codes, "--service"]),
        (&["completions"], &["Example:", "bash"]),
    ] {
        let ended = run(&[words, &["--help"]].concat());
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{words:?}");
        for word in expected {
            assert!(ended.out.contains(word), "{words:?}: {word}\n{}", ended.out);
        }
    }
    assert_eq!(run(&["--version"]), Ended::new(0, concat!("mainstay ", env!("CARGO_PKG_VERSION"), "\n"), ""));
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    let place = Place::with(&[("f.yaml", "")]);
    for words in [
        &[][..],
        &["config"],
        &["confg", "check", "f.yaml"],
        &["config", "check"],
        &["config", "check", "-", "-"],
        &["config", "check", "f.yaml", "--format", "yaml"],
        &["config", "check", "f.yaml", "--allow-section"],
        &["config", "show", "-", "f.yaml", "-"],
        &["config", "show", "f.yaml", "--fingerprint", "--format", "json"],
        &["config", "diff", "f.yaml"],
        &["config", "diff", "f.yaml", "f.yaml", "f.yaml"],
        &["config", "schema", "f.yaml"],
        &["--color", "probe", "config", "keys"],
        &["config", "check", "probe", "--nonsense"],
    ] {
        let ended = place.run(words);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{words:?}");
        assert!(ended.err.contains("--help"), "{words:?}: {}", ended.err);
    }
    let ended = place.run(&["config", "shwo", "f.yaml"]);
    assert!(ended.err.contains("a similar subcommand exists: 'show'"), "{}", ended.err);
}
