use std::path::PathBuf;

use mainstay_config::Change;
use serde::Serialize;

use crate::exit;
use crate::format::{Format, json};
use crate::output::Output;
use crate::sources::{Reading, is_stdin};

/// Tells what changes from what to what between the effective settings of two files
///
/// Variables are on top of both files, so that what they replace in both is no change; `--no-env` compares the files alone. What a
/// `${VARIABLE}` brings in is written as `***`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mainstay config diff running.yaml next.yaml
  git show HEAD:mainstay.yaml | mainstay config diff --no-env - mainstay.yaml

Exit codes: 0 the same, 1 different, 78 a file does not load.")]
pub(crate) struct Diff {
    /// The file of the settings as they are; `-` is standard input
    #[arg(value_name = "A")]
    from: PathBuf,
    /// The file of the settings as they will be; `-` is standard input
    #[arg(value_name = "B")]
    to: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// How the changes are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Changed<'a> {
    path: &'a str,
    from: Option<&'a str>,
    to: Option<&'a str>,
}

impl Diff {
    pub(crate) fn run(&self, output: &mut Output) -> u8 {
        let load = |file: &PathBuf| self.reading.load([file.as_path()]);
        let changes = match (load(&self.from), load(&self.to)) {
            (Ok(from), Ok(to)) => from.diff(&to),
            (from, to) => {
                let mut mistakes = from.err().unwrap_or_default().errors;
                for mistake in to.err().unwrap_or_default().errors {
                    // What is wrong with a variable is wrong on top of both.
                    if !mistakes.contains(&mistake) {
                        mistakes.push(mistake);
                    }
                }
                output.mistakes(&mistakes);
                return exit::WRONG;
            }
        };
        match self.format {
            Format::Text => changes.iter().for_each(|change| output.line(change)),
            Format::Json => output.line(json(&changes.iter().map(Changed::of).collect::<Vec<_>>())),
        }
        if changes.is_empty() { exit::FINE } else { exit::DIFFERENT }
    }

    /// How many of the files are standard input.
    pub(crate) fn stdin(&self) -> usize {
        [&self.from, &self.to].into_iter().filter(|file| is_stdin(file)).count()
    }
}

impl<'a> Changed<'a> {
    fn of(change: &'a Change) -> Self {
        Self { path: &change.path, from: change.from.as_deref(), to: change.to.as_deref() }
    }
}
