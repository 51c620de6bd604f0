use mainstay_config::{Loaded, Warning};
use serde::Serialize;

use crate::exit;
use crate::format::{Format, json};
use crate::mistake::{Mistake, Mistakes, Place};
use crate::output::Output;
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
    warnings: Vec<Doubt>,
}

/// A warning for machines.
#[derive(Serialize)]
struct Doubt {
    #[serde(flatten)]
    place: Place,
    path: String,
    text: String,
}

impl Check {
    pub(crate) fn run(&self, output: &mut Output) -> u8 {
        let loaded = self.sources.load();
        let code = if loaded.is_ok() { exit::FINE } else { exit::WRONG };
        match (self.format, loaded) {
            (Format::Json, loaded) => output.line(json(&Findings::of(loaded))),
            (Format::Text, Err(mistakes)) => {
                mistakes.warnings.iter().for_each(|warning| output.warn(warning));
                output.mistakes(&mistakes.errors);
            }
            (Format::Text, Ok(loaded)) => {
                loaded.warnings().iter().for_each(|warning| output.warn(warning));
                let (names, fingerprint) = (self.sources.names(), loaded.fingerprint());
                output.line(format_args!("{names}: no mistakes, fingerprint {fingerprint}"));
            }
        }
        code
    }
}

impl Findings {
    fn of(loaded: Result<Loaded, Mistakes>) -> Self {
        match loaded {
            Ok(loaded) => Self {
                ok: true,
                fingerprint: Some(loaded.fingerprint().to_string()),
                errors: Vec::new(),
                warnings: loaded.warnings().iter().map(Doubt::from).collect(),
            },
            Err(Mistakes { errors, warnings }) => {
                let warnings = warnings.iter().map(Doubt::from).collect();
                Self { ok: false, fingerprint: None, errors, warnings }
            }
        }
    }
}

impl From<&Warning> for Doubt {
    fn from(warning: &Warning) -> Self {
        let Warning { origin, path, text, .. } = warning;
        Self { place: Place::from(origin), path: path.clone(), text: text.clone() }
    }
}
