//! The whole story in one command: runs every part, one after the other, and puts their budgets in one summary.
//!
//! `cargo run -p mainstay-benches --release -- report`; see `benches/README.md`.

#![forbid(unsafe_code)]

mod args;
mod parts;
mod summary;

use std::path::Path;
use std::process::ExitCode;

use mainstay_benches::call::Failure;
use mainstay_benches::{budget, instructions, machine};

use crate::args::Args;
use crate::parts::{PARTS, Part};
use crate::summary::Page;

fn main() -> ExitCode {
    let done = Args::parse(std::env::args().skip(1)).map_err(Failure::from).and_then(|args| report(&args));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("report: {error}");
            ExitCode::from(2)
        }
    }
}

/// False if a part could not be run, or, but in a smoke run, a budget is not met.
fn report(args: &Args) -> Result<bool, Failure> {
    instructions::ready()?;
    let load = machine::load();
    parts::build()?;
    let (mut pages, mut whole) = (Vec::new(), true);
    for part in PARTS.iter().filter(|part| args.wants(part)) {
        eprintln!("=== {}", part.name);
        match part.run(args.quick, load) {
            Ok(text) => {
                // At once: it stays if the rest is broken off.
                if let Some(path) = &args.markdown {
                    std::fs::write(part.file(path), &text)?;
                }
                pages.push(Page { part, text, measured_now: true });
            }
            Err(error) => {
                eprintln!("report: {}: {error}", part.name);
                whole = false;
            }
        }
    }
    if let Some(path) = &args.markdown {
        add_those_there(&mut pages, path);
    }
    let summary = summary::write(&pages, args, load);
    match &args.markdown {
        Some(path) => {
            std::fs::write(path, summary)?;
            eprintln!("{} and the page of each part are written", path.display());
        }
        None => {
            print!("{summary}");
            pages.iter().for_each(|page| print!("\n{}", page.text));
        }
    }
    let kept =
        pages.iter().filter(|page| page.measured_now).all(|page| budget::kept(&budget::read(&page.text)));
    Ok(whole && (kept || args.quick))
}

/// Takes the pages of the parts that did not run as they are.
fn add_those_there(pages: &mut Vec<Page>, path: &Path) {
    let there = |part: &'static Part| {
        let text = std::fs::read_to_string(part.file(path)).ok()?;
        Some(Page { part, text, measured_now: false })
    };
    let missing = PARTS.iter().filter(|part| pages.iter().all(|page| page.part.name != part.name));
    let old: Vec<Page> = missing.filter_map(there).collect();
    pages.extend(old);
    pages.sort_by_key(|page| PARTS.iter().position(|part| part.name == page.part.name));
}
