//! Settings that are read and put in force while everything runs: a file with a hundred breakers.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mainstay::config::{Loaded, Loader};
use mainstay::{Mainstay, Reloader};

use crate::call::{Call, Failure, Loop, again};

/// From the floor to the whole; the parts of the whole between them.
pub const CALLS: [Call; 9] = [
    Call { name: FLOOR, make: parse },
    Call { name: "`Loader::load`: parse, check, effective values", make: load },
    Call { name: "`Loaded::diff`, nothing changed", make: || diff(0) },
    Call { name: "`Loaded::diff`, one breaker changed", make: || diff(1) },
    Call { name: "`Mainstay::apply`, one breaker changed", make: || apply(1) },
    Call { name: "`Mainstay::apply`, all of them changed", make: || apply(BREAKERS) },
    Call { name: "`Reloader::reload`, nothing changed", make: || reload(0) },
    Call { name: RELOAD, make: || reload(1) },
    Call { name: "`Reloader::reload`, all of them changed", make: || reload(BREAKERS) },
];

/// What reading the file costs at least.
pub const FLOOR: &str = "serde-saphyr into a `serde_json::Value`";

/// What a change costs.
pub const RELOAD: &str = "`Reloader::reload`, one breaker changed";

/// How many breakers the file has.
pub const BREAKERS: u32 = 100;

/// A file in which so many of the breakers have another setting.
pub fn file(changed: u32) -> String {
    let mut text = String::from("circuit_breakers:\n");
    for breaker in 0..BREAKERS {
        let timeout = if breaker < changed { 20 } else { 15 };
        let _ = writeln!(
            text,
            "  dependency-{breaker:03}: {{ max_requests: 5, interval: 30s, timeout: {timeout}s, max_failures: 3, success_threshold: 2 }}"
        );
    }
    text
}

fn parse() -> Result<Loop, Failure> {
    let text = file(0);
    again(move || serde_saphyr::from_str::<serde_json::Value>(&text).is_ok())
}

fn loaded(changed: u32) -> Result<Loaded, Failure> {
    Ok(Loader::new().text("mainstay.yaml", file(changed)).load()?)
}

fn load() -> Result<Loop, Failure> {
    let loader = Loader::new().text("mainstay.yaml", file(0));
    again(move || loader.load().is_ok())
}

fn diff(changed: u32) -> Result<Loop, Failure> {
    let (before, after) = (loaded(0)?, loaded(changed)?);
    again(move || before.diff(&after).len())
}

fn apply(changed: u32) -> Result<Loop, Failure> {
    let (before, after) = (loaded(0)?, loaded(changed)?);
    let mainstay = Mainstay::from_settings("bench", before.settings()).build()?;
    let mut turn = 0_u64;
    again(move || {
        turn += 1;
        mainstay.apply(if turn.is_multiple_of(2) { before.settings() } else { after.settings() }).is_ok()
    })
}

/// Reads a file that is another one at each turn. To write it is not counted.
fn reload(changed: u32) -> Result<Loop, Failure> {
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("mainstay.yaml");
    let texts = [file(0), file(changed)];
    std::fs::write(&path, &texts[0])?;
    let loader = Loader::new().file(&path);
    let loaded = loader.load()?;
    let mainstay = Mainstay::from_settings("bench", loaded.settings()).build()?;
    let reloader = Reloader::new(&mainstay, loader, loaded)?;
    let mut turn = 0;
    Ok(Box::new(move |calls| {
        let _kept = &folder;
        let mut took = Duration::ZERO;
        for _ in 0..calls {
            turn = 1 - turn;
            if changed > 0 && std::fs::write(&path, texts.get(turn).map_or("", String::as_str)).is_err() {
                continue;
            }
            let begin = Instant::now();
            let changes = reloader.reload();
            took += begin.elapsed();
            let changes = changes.map_or(None, |changes| Some(!changes.is_empty()));
            assert_eq!(changes, Some(changed > 0), "a reload that does not do what is measured");
        }
        took
    }))
}
