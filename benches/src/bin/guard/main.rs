//! Fails when a hot path executes more instructions than its committed limit allows, or allocates. No clock is asked, so that it says
//! the same on a busy machine.
//!
//! `benches/guard`; `--update` writes the limits that it counts. See `benches/README.md`.

#![forbid(unsafe_code)]

mod paths;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use mainstay_benches::instructions::{self, Executed};
use mainstay_benches::limits::{Build, Judgement, Limits};

type Failure = Box<dyn Error>;

const EXPLANATION: &str = "\
What a call of each path executes: instructions, how many of them are locked, and the path. Written by `benches/guard --update`, which
counts with callgrind; a call that executes 5 % more (15 % with another compiler than this one), and two at least, fails `benches/guard`.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", path, calls] => {
            calls.parse().map_err(Failure::from).and_then(|calls| paths::one(path, calls)).map(|()| true)
        }
        [] => check(),
        ["--update"] => update(),
        _ => Err("usage: guard [--update]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("guard: {error}");
            ExitCode::from(2)
        }
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("limits.txt")
}

fn build() -> Build {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    Build {
        compiler: String::from_utf8_lossy(&output).trim().to_owned(),
        target: format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
    }
}

/// What each path executes, in the order of the paths.
fn count() -> Result<Vec<(String, Executed)>, Failure> {
    // With the peers other features of shared dependencies are on, and other things are inlined.
    if cfg!(feature = "full") {
        return Err("its counts are those of a build without the feature `full`: run benches/guard".into());
    }
    instructions::ready()?;
    let paths = paths::all();
    let executed = instructions::measure(&paths)?;
    let counted = paths.into_iter().map(|path| executed.get(&path).map(|executed| (path, *executed)));
    counted.collect::<Option<_>>().ok_or_else(|| "valgrind has left out a path".into())
}

fn update() -> Result<bool, Failure> {
    let limits = Limits::new(build(), count()?);
    std::fs::write(file(), limits.write(EXPLANATION))?;
    println!("{} paths written to {}", limits.paths().count(), file().display());
    Ok(true)
}

fn check() -> Result<bool, Failure> {
    let (limits, build) = (Limits::parse(&std::fs::read_to_string(file())?)?, build());
    let allocations_kept = allocations()?;
    let Some(margin) = limits.margin(&build) else {
        println!(
            "The limits are for {}, and this is {}: its instructions cannot be compared, and are not counted.",
            limits.build.target, build.target
        );
        return Ok(allocations_kept);
    };
    if limits.build.compiler != build.compiler {
        println!(
            "The limits were counted with {}, and this is {}: a margin of {:.0} % holds. `benches/guard --update` where the newer one stays.",
            limits.build.compiler,
            build.compiler,
            margin * 100.0
        );
    }
    let counted = count()?;
    println!("| path | limit | counted | change | locked | |\n| --- | ---: | ---: | ---: | ---: | --- |");
    let mut judgements = Vec::new();
    for (path, executed) in &counted {
        let judgement = limits.judge(path, *executed, margin);
        println!("{}", line(path, limits.of(path), *executed, judgement));
        judgements.push(judgement);
    }
    let gone: Vec<&str> =
        limits.paths().filter(|path| counted.iter().all(|(known, _)| known != path)).collect();
    gone.iter().for_each(|path| println!("| {path} | | | | | **gone**: `--update` |"));
    let of = |wanted| judgements.iter().filter(|judgement| **judgement == wanted).count();
    let (rose, locked, unknown, fell) =
        (of(Judgement::Rose), of(Judgement::MoreLocked), of(Judgement::Unknown), of(Judgement::Fell));
    if fell > 0 {
        println!(
            "\n{fell} paths execute less than before by more than the margin: `benches/guard --update` keeps that."
        );
    }
    let kept = rose + locked + unknown + gone.len() == 0;
    match kept {
        true => println!(
            "\nAll {} paths keep their limits, by a margin of {:.0} %.",
            counted.len(),
            margin * 100.0
        ),
        false => println!(
            "\n{rose} paths rose by more than {:.0} %, {locked} lock more, {unknown} have no limit, {} limits have no path. If that is what \
             it must cost: `benches/guard --update`, and the commit says why.",
            margin * 100.0,
            gone.len()
        ),
    }
    Ok(kept && allocations_kept)
}

fn line(path: &str, limit: Option<Executed>, counted: Executed, judgement: Judgement) -> String {
    let (was, change) = match limit {
        Some(limit) => {
            let change = (counted.instructions / limit.instructions - 1.0) * 100.0;
            (format!("{:.0}", limit.instructions), format!("{change:+.1} %"))
        }
        None => Default::default(),
    };
    let locked = counted.locked.map_or("?".to_owned(), |locked| format!("{locked:.0}"));
    let said = match judgement {
        Judgement::Kept => "",
        Judgement::Fell => "fell",
        Judgement::Rose => "**ROSE**",
        Judgement::MoreLocked => "**LOCKS MORE**",
        Judgement::Unknown => "**no limit**",
    };
    format!("| {path} | {was} | {:.0} | {change} | {locked} | {said} |", counted.instructions)
}

/// Whether no path allocates more than it must.
fn allocations() -> Result<bool, Failure> {
    let mut kept = true;
    for path in paths::all() {
        let (counted, allowed) = (paths::allocations(&path)?, paths::allowed(&path));
        if counted > allowed {
            println!("**ALLOCATES** {counted:.2} times a call instead of {allowed:.0}: {path}");
            kept = false;
        }
    }
    if kept {
        println!("No path allocates, but for what drivers do themselves.\n");
    }
    Ok(kept)
}
