//! The example prints every decision as three dependencies fail one by one, and come back.
#![allow(clippy::unwrap_used)]

use std::process::Command;

/// What was built together with this test; made now, where only this test was built.
fn example() -> Command {
    let built = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/degradation");
    if built.exists() {
        return Command::new(built);
    }
    let mut run = Command::new(env!("CARGO"));
    run.args(["run", "--quiet", "--package", "mainstay", "--example", "degradation"]);
    run.current_dir(env!("CARGO_MANIFEST_DIR"));
    run
}

#[test]
fn the_example_shows_how_each_failure_makes_it_worse_and_why() {
    let output = example().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let said = |what: &str| -> Vec<String> {
        let lines = told.lines().filter_map(|line| line.trim().strip_prefix(what));
        lines.map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(said("level"), ["none", "minor", "moderate", "severe", "severe", "none"]);
    let complex = said("complex work");
    assert!(
        complex.first().unwrap().contains("Complex") && complex.get(3).unwrap().contains("Simple"),
        "{complex:?}"
    );
    assert!(said("llm_generation").get(1).unwrap().starts_with("cache: llm_service is down"));
    assert!(
        said("because")
            .iter()
            .any(|cause| cause == "severe: 3 breakers open (limit 3): database, llm_service, redis")
    );
}
