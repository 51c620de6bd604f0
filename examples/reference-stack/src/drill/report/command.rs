//! Shows a report that was kept.

use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::{Report, html, terminal};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The report, as a drill wrote it with `--json`
    file: PathBuf,
    /// Write it as a page to this file, beside printing it
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Prints the report, and makes a page of it if one is wanted.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let Options { file, html: page } = options;
    let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let report: Report = serde_json::from_slice(&text)
        .with_context(|| format!("{} is not a drill's report", file.display()))?;
    if let Some(page) = &page {
        fs::write(page, html(&report)).with_context(|| format!("cannot write {}", page.display()))?;
    }
    write!(stdout(), "{}", terminal(&report)).context("cannot print the report")
}
