//! What the spool's promises cost: pushes by policy, beside the bare store, and beside what one writes with SQLite and no spool.
//!
//! `cargo run -p mainstay-benches --release --bin spool`; `--quick` for a smoke run; `--only TEXT` for the rows whose name has this
//! text; `--dir DIR` for another disk than that of the target directory.

#![forbid(unsafe_code)]

mod bare;
mod case;
mod disk;
mod figures;
mod group;
mod ours;
mod page;
mod plain;
mod writers;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use mainstay_benches::machine;

use crate::case::{Case, EACH_BATCH, Subject, cases};
use crate::figures::Figures;
use crate::page::Page;

type Failure = Box<dyn Error + Send + Sync>;

/// What was asked for on the command line.
struct Asked {
    rounds: usize,
    /// How long pushes are made in each run.
    length: Duration,
    only: Option<String>,
    dir: Option<PathBuf>,
    quick: bool,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| report(&asked)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("spool: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked, Failure> {
    let mut asked = Asked { rounds: 3, length: Duration::from_secs(3), only: None, dir: None, quick: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => (asked.rounds, asked.length, asked.quick) = (1, Duration::from_millis(300), true),
            "--only" => asked.only = Some(arguments.next().ok_or("--only needs a text")?),
            "--dir" => asked.dir = Some(arguments.next().ok_or("--dir needs a directory")?.into()),
            _ => return Err("usage: spool [--quick] [--only TEXT] [--dir DIR]".into()),
        }
    }
    Ok(asked)
}

fn report(asked: &Asked) -> Result<bool, Failure> {
    let load = machine::load();
    let root = match &asked.dir {
        Some(dir) => dir.clone(),
        // Beside `release`, where the program is: on a real disk, as a rule, which the system's temporary directory need not be.
        None => std::env::current_exe()?.with_file_name("../tmp"),
    };
    std::fs::create_dir_all(&root)?;
    let syncs = [disk::sync_time(&root)?];
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| asked.only.as_ref().is_none_or(|only| case.name().contains(only)))
        .collect();
    let mut runs: Vec<Vec<Figures>> = vec![Vec::new(); cases.len()];
    let mut groups = Vec::new();
    // The rounds of all cases take turns, so that what disturbs the machine disturbs them all.
    for round in 1..=asked.rounds {
        for (case, runs) in cases.iter().zip(&mut runs) {
            let figures = in_runtime(&root, |dir| run(*case, dir, asked.length))?;
            eprintln!(
                "round {round}: {}, sink {:?}: {:.0} items a second",
                case.name(),
                case.sink,
                figures.rate
            );
            runs.push(figures);
        }
        if cases.iter().any(|case| case.subject == EACH_BATCH && case.writers == 32) {
            groups.push(in_runtime(&root, |dir| group::size(dir, asked.length))?);
        }
    }
    let [before] = syncs;
    let syncs = [before, disk::sync_time(&root)?];
    let results: Vec<_> = cases.iter().copied().zip(runs.iter().map(|runs| Figures::median(runs))).collect();
    let mut page = Page::new(asked, load, syncs);
    page.results(&results);
    page.budget(&cases, &runs, &mut groups);
    print!("{}", page.text());
    Ok(asked.quick || page.held())
}

/// Runs something in a runtime and a directory of its own.
fn in_runtime<R, F>(root: &Path, run: impl FnOnce(PathBuf) -> F) -> Result<R, Failure>
where
    F: Future<Output = Result<R, Failure>>,
{
    let dir = tempfile::tempdir_in(root)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(dir.path().to_owned()))
}

async fn run(case: Case, dir: PathBuf, length: Duration) -> Result<Figures, Failure> {
    match case.subject {
        Subject::Spool(policy) => ours::run(Some((&dir, policy)), case, length).await,
        Subject::InMemory => ours::run(None, case, length).await,
        Subject::Plain(synchronous) => plain::run(&dir, synchronous, case, length).await,
        Subject::Bare(synchronous, rows) => bare::run(&dir, synchronous, rows, length),
    }
}
