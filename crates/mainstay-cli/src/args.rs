use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use mainstay_health::ProbeExit;

use crate::check::Check;
use crate::diff::Diff;
use crate::exit;
use crate::probe::Probe;
use crate::show::Show;

const CODES: &str = "\
Exit codes:
   0  all is well
   1  `config diff`: the settings are different
   2  the command line makes no sense
  74  the output could not be written
  78  the settings are wrong, or cannot be read
The codes of `probe` are its own: see `mainstay probe --help`.";

const EXAMPLES: &str = "\
Examples:
  mainstay config check mainstay.yaml
  mainstay config show base.yaml production.yaml
  mainstay probe http http://127.0.0.1:8081/health/ready";

/// Checks, shows and compares Mainstay's settings files, and probes endpoints for containers.
#[derive(Parser)]
#[command(name = "mainstay", version, after_help = EXAMPLES)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{CODES}"))]
pub(crate) struct Args {
    /// Colours: `auto` (on a terminal, unless NO_COLOR is set), `always` or `never`
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, display_order = 100)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Settings files: what is wrong with them, what they lead to, which keys there are
    #[command(after_help = CODES)]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Asks an endpoint once whether it serves: the health check of a container
    #[command(after_help = crate::probe::CODES)]
    Probe {
        #[command(subcommand)]
        command: Probe,
    },
    /// Prints a script that completes this command in a shell
    #[command(
        after_help = "Example:\n  mainstay completions bash > ~/.local/share/bash-completion/completions/mainstay"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    Check(Check),
    Show(Show),
    Diff(Diff),
    /// Prints the JSON Schema of a settings file, for editors that complete and check it
    #[command(after_help = "\
Example:
  mainstay config schema > mainstay.schema.json
and as the first line of the file, for editors with the YAML language server:
  # yaml-language-server: $schema=mainstay.schema.json")]
    Schema {
        /// Allow a section of the program's own at the top of the file; may be repeated
        #[arg(long = "allow-section", value_name = "NAME")]
        sections: Vec<String>,
    },
    /// Prints every key as a table in Markdown: key, what it takes, default, meaning
    #[command(after_help = "Example:\n  mainstay config keys | grep open_for")]
    Keys,
}

/// A command line that is not run: it makes no sense, or asks for help.
pub(crate) struct Refused {
    error: clap::Error,
    usage: u8,
}

impl Args {
    /// Reads the command line.
    pub(crate) fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, Refused> {
        let line: Vec<OsString> = line.into_iter().collect();
        let (color, probes) = guess(&line);
        let usage = if probes { ProbeExit::InvalidArguments.code() } else { exit::USAGE };
        let mut command = Self::command().color(color);
        let args =
            command.try_get_matches_from_mut(&line).and_then(|matches| Self::from_arg_matches(&matches));
        let args = args.and_then(|args| match args.twice() {
            Some(twice) => Err(command.error(ErrorKind::ArgumentConflict, twice)),
            None => Ok(args),
        });
        args.map_err(|error| Refused { error: error.format(&mut command), usage })
    }

    /// That standard input is asked for more than once.
    fn twice(&self) -> Option<&'static str> {
        let stdin = match &self.command {
            Command::Config { command: ConfigCommand::Check(check) } => check.sources.stdin(),
            Command::Config { command: ConfigCommand::Show(show) } => show.sources.stdin(),
            Command::Config { command: ConfigCommand::Diff(diff) } => diff.stdin(),
            _ => 0,
        };
        (stdin > 1).then_some("`-` (standard input) can be read only once")
    }
}

/// What has a say in how a command line is refused: its colours, and whether it is a probe's, whose exit code 2 says something
/// else.
fn guess(line: &[OsString]) -> (ColorChoice, bool) {
    // Whoever asks for help may say more after it.
    let flag = |name: &'static str, short: char| {
        Arg::new(name).long(name).short(short).global(true).action(ArgAction::SetTrue)
    };
    let lenient = Args::command().ignore_errors(true).disable_help_flag(true).disable_version_flag(true);
    let lenient = lenient.args([flag("help", 'h'), flag("version", 'V')]);
    let Ok(matches) = lenient.try_get_matches_from(line) else { return (ColorChoice::Auto, false) };
    let color = matches.get_one::<ColorChoice>("color").copied().unwrap_or(ColorChoice::Auto);
    (color, matches.subcommand_name() == Some("probe"))
}

impl Refused {
    /// Prints why, or the help that was asked for.
    pub(crate) fn tell(&self) -> ExitCode {
        let printed = self.error.print();
        match printed {
            _ if self.error.use_stderr() => self.usage.into(),
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => exit::UNWRITTEN.into(),
            _ => exit::FINE.into(),
        }
    }
}
