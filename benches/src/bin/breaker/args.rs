use std::time::Duration;

/// The command line.
pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) quick: bool,
    pub(crate) instructions: bool,
    pub(crate) only: Option<String>,
}

pub(crate) enum Command {
    Report,
    List,
    One { key: String, calls: u64 },
}

const USAGE: &str = "\
usage: breaker [options]        measure and print everything
       breaker list             print the keys of the subjects
       breaker one KEY CALLS    make CALLS calls of one subject, for a profiler
options:
  --quick              a smoke run: few and short rounds
  --no-instructions    go without valgrind
  --only TEXT          only subjects whose key contains TEXT";

impl Args {
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { command: Command::Report, quick: false, instructions: true, only: None };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n{USAGE}"));
            match arg.as_str() {
                "list" => parsed.command = Command::List,
                "one" => {
                    let key = value()?;
                    let calls = value()?.parse().map_err(|error| format!("CALLS: {error}"))?;
                    parsed.command = Command::One { key, calls };
                }
                "--quick" => parsed.quick = true,
                "--no-instructions" => parsed.instructions = false,
                "--only" => parsed.only = Some(value()?),
                _ => return Err(format!("what is {arg}?\n{USAGE}")),
            }
        }
        Ok(parsed)
    }

    /// How often each subject is timed; odd, so that the median is one of the rounds.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 15 } else { 101 }
    }

    /// How long a round shall take.
    pub(crate) fn round(&self) -> Duration {
        if self.quick { Duration::from_micros(200) } else { Duration::from_millis(1) }
    }
}
