use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;

use crate::exit;
use crate::format::json;
use crate::output::Output;
use crate::sources::Sources;

const ORIGIN: Style = AnsiColor::BrightBlack.on_default();

/// Shows all effective settings, each with its origin: a default, a line of a file, or a variable
///
/// The list loads again, in the same environment, to the same settings. A `${VARIABLE}` is shown as it is written, not as what it
/// stands for. Sections of the program's own are left out. In JSON, `settings` are the settings
/// as a file has them, and `origins` is of the same shape, with the origin of each value in its place.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  mainstay config show mainstay.yaml
  CB_REDIS_TIMEOUT=20s mainstay config show mainstay.yaml | grep CB_
  mainstay config show --fingerprint mainstay.yaml
  mainstay config show --format json mainstay.yaml | jq .origins.circuit_breakers.redis

Exit codes: 0 shown, 78 the settings are wrong (told on standard error).")]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) sources: Sources,
    /// How the settings are written
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "yaml")]
    format: ShowFormat,
    /// Print only the fingerprint: the same for the same effective settings
    #[arg(long, conflicts_with = "format")]
    fingerprint: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ShowFormat {
    /// YAML, each value with its origin in a comment
    Yaml,
    /// JSON: `fingerprint`, `settings`, `origins`
    Json,
}

#[derive(Serialize)]
struct Shown {
    fingerprint: String,
    settings: Value,
    origins: Value,
}

impl Show {
    pub(crate) fn run(&self, output: &mut Output) -> u8 {
        let loaded = match self.sources.load() {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                output.mistakes(&mistakes.errors);
                return exit::WRONG;
            }
        };
        match self.format {
            _ if self.fingerprint => output.line(loaded.fingerprint()),
            ShowFormat::Yaml => output.print(dimmed(&loaded.show())),
            ShowFormat::Json => output.line(json(&Shown {
                fingerprint: loaded.fingerprint().to_string(),
                settings: loaded.to_json(),
                origins: loaded.origins_to_json(),
            })),
        }
        exit::FINE
    }
}

/// The list with its comments in grey.
fn dimmed(list: &str) -> String {
    let mut text = String::with_capacity(list.len());
    for line in list.lines() {
        let (value, origin) = line.split_at(comment(line).unwrap_or(line.len()));
        let _ = match origin {
            "" => writeln!(text, "{value}"),
            _ => writeln!(text, "{value}{ORIGIN}{origin}{ORIGIN:#}"),
        };
    }
    text
}

/// Where the comment of a line begins: quoted texts may have a `#`, too.
fn comment(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    line.char_indices().find_map(|(at, char)| {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return Some(at),
            _ => {}
        }
        None
    })
}
