//! A real service that does not start with what is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::process::{Command, Output};

/// Builds the example, if only this test was built, and starts it.
fn start(file: &str, variables: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    fs::write(&path, file).unwrap();
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            "mainstay-config",
            "--example",
            "startup",
            "--message-format=json",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let messages = String::from_utf8(built.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let example =
        messages.filter_map(|message| message["executable"].as_str().map(str::to_owned)).next_back().unwrap();
    let mut command = Command::new(example);
    command.arg("mainstay.yaml").current_dir(directory.path()).env_clear();
    command.envs(variables.iter().copied()).output().unwrap()
}

#[test]
fn a_service_tells_everything_that_is_wrong_at_once_and_ends_with_78() {
    let file = "
gateway: { listen: nowhere, orchestrator: 'ftp://orchestrator' }
circuit_breakers: { redis: { timeout: 5 } }
";
    let output = start(file, &[("JWT_SECRET", "changeme"), ("CB_DB_TIMEOUTS", "5s")]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78));
    for place in
        ["mainstay.yaml:2:20", "mainstay.yaml:2:43", "mainstay.yaml:3:39", "CB_DB_TIMEOUTS", "JWT_SECRET"]
    {
        assert!(told.contains(place), "{place} in\n{told}");
    }
    assert!(!told.contains("changeme"), "a secret is not told: {told}");
}

#[test]
fn a_service_whose_settings_are_right_starts() {
    let file = "gateway: { listen: '127.0.0.1:8080', orchestrator: 'http://orchestrator:50052' }";
    let output = start(file, &[("JWT_SECRET", "kD83hf0qPzv7LmWc2XtR9sBnYa5eUj4i")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        String::from_utf8(output.stdout).unwrap().starts_with("127.0.0.1:8080 -> http://orchestrator:50052")
    );
}
