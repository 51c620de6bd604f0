//! A real service that does not start with what is wrong.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::process::{Command, Output};

/// Starts the example that was built together with this test; builds it, where only this test was built.
fn start(file: &str, variables: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    fs::write(&path, file).unwrap();
    let test = std::env::current_exe().unwrap();
    let (profile, target) = (test.ancestors().nth(2).unwrap(), test.ancestors().nth(3).unwrap());
    let example = profile.join("examples/startup");
    if !example.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--package",
            "mainstay-config",
            "--example",
            "startup",
            "--target-dir",
        ]);
        build.arg(target);
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    }
    let mut command = Command::new(example);
    command.arg("mainstay.yaml").current_dir(directory.path()).env_clear();
    // Where its coverage is measured, it is told so.
    command.envs(std::env::vars_os().filter(|(name, _)| name == "LLVM_PROFILE_FILE"));
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
