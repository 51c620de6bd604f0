use mainstay_config::Loaded;
use serde::Serialize;

use crate::exit;
use crate::format::{Format, json};
use crate::mistake::Mistake;
use crate::output::{Output, one_line};
use crate::sources::Sources;

/// Tells every mistake in settings files and in the variables on top of them, all at once
///
/// Each mistake is told with its file, line and column, or its variable, with what was found and what was expected. Several files
/// are layers: each replaces what those before it say. What is no mistake, and perhaps not meant, is a warning.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mainstay config check mainstay.yaml
  mainstay config check base.yaml production.yaml --allow-section gateway
  git show main:mainstay.yaml | mainstay config check --no-env -

Exit codes:
   0  no mistakes
  78  mistakes, told on standard error, with `--format json` on standard output")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// How the findings are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
}

#[derive(Serialize)]
struct Findings {
    ok: bool,
    fingerprint: Option<String>,
    errors: Vec<Mistake>,
    warnings: Vec<String>,
}

impl Check {
    pub(crate) fn run(&self, output: &mut Output) -> u8 {
        let loaded = self.sources.load();
        let code = if loaded.is_ok() { exit::FINE } else { exit::WRONG };
        match (self.format, loaded) {
            (Format::Json, loaded) => output.line(json(&Findings::of(loaded))),
            (Format::Text, Err(mistakes)) => output.mistakes(&mistakes),
            (Format::Text, Ok(loaded)) => {
                loaded.warnings().iter().for_each(|warning| output.warn(warning));
                let (names, fingerprint) = (one_line(self.sources.names()), loaded.fingerprint());
                output.line(format_args!("{names}: no mistakes, fingerprint {fingerprint}"));
            }
        }
        code
    }
}

impl Findings {
    fn of(loaded: Result<Loaded, Vec<Mistake>>) -> Self {
        match loaded {
            Ok(loaded) => Self {
                ok: true,
                fingerprint: Some(loaded.fingerprint().to_string()),
                errors: Vec::new(),
                warnings: loaded.warnings(),
            },
            Err(errors) => Self { ok: false, fingerprint: None, errors, warnings: Vec::new() },
        }
    }
}
