use std::path::PathBuf;

use crate::parts::{PARTS, Part};

/// The command line.
pub(crate) struct Args {
    pub(crate) quick: bool,
    pub(crate) markdown: Option<PathBuf>,
    /// None of them means all.
    parts: Vec<String>,
    without: Vec<String>,
}

const USAGE: &str = "\
usage: report [report] [PART ...] [options]    measure all parts, or these
options:
  --quick            a smoke run: few and short rounds
  --without PART     all but this one
  --markdown FILE    write the summary to FILE, and the pages of the parts beside it";

impl Args {
    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut args = Self { quick: false, markdown: None, parts: Vec::new(), without: Vec::new() };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{}", usage()));
            match argument.as_str() {
                "report" => {}
                "--quick" => args.quick = true,
                "--without" => args.without.push(known(&value()?)?),
                "--markdown" => args.markdown = Some(value()?.into()),
                part => args.parts.push(known(part)?),
            }
        }
        Ok(args)
    }

    pub(crate) fn wants(&self, part: &Part) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == part.name);
        (self.parts.is_empty() || named(&self.parts)) && !named(&self.without)
    }

    /// The command line again.
    pub(crate) fn command(&self) -> String {
        let mut command = String::from("cargo run -p mainstay-benches --release -- report");
        self.parts.iter().for_each(|part| command += &format!(" {part}"));
        self.without.iter().for_each(|part| command += &format!(" --without {part}"));
        if self.quick {
            command += " --quick";
        }
        if let Some(path) = &self.markdown {
            command += &format!(" --markdown {}", path.display());
        }
        command
    }
}

fn known(part: &str) -> Result<String, String> {
    match PARTS.iter().any(|known| known.name == part) {
        true => Ok(part.to_owned()),
        false => Err(format!("what is {part}?\n{}", usage())),
    }
}

fn usage() -> String {
    let parts: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    format!("{USAGE}\nparts: {}", parts.join(", "))
}
