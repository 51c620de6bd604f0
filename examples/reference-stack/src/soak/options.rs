use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::drill::plan::Plan;
use crate::soak::schedule;

/// The shortest and the longest soak, in minutes.
const SHORTEST: f64 = 0.5;
const LONGEST: f64 = 600.0;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// For how many minutes: 0.5 to 600
    #[arg(long, default_value_t = 30.0, value_parser = minutes)]
    minutes: f64,
    /// What the faults are drawn by; with the same number, and the same minutes, they are the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests a second
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) rate: u32,
    /// Play this plan instead of a random one: a YAML file of phases, as the drill's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["minutes", "seed"])]
    plan: Option<PathBuf>,
    /// Print the plan, and do nothing
    #[arg(long)]
    print_plan: bool,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

// === impl Options ===

impl Options {
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        match &self.plan {
            None => Ok(schedule::plan(self.seed, Duration::from_secs_f64(self.minutes * 60.0))),
            Some(file) => {
                let yaml = std::fs::read_to_string(file);
                let yaml = yaml.with_context(|| format!("reading {}", file.display()))?;
                Ok(Plan::read(&yaml)?)
            }
        }
    }

    pub(crate) fn prints_plan(&self) -> bool {
        self.print_plan
    }

    /// Where the report goes, which must be possible.
    pub(crate) fn file(&self) -> anyhow::Result<Option<File>> {
        let open = |file: &PathBuf| File::create(file).with_context(|| format!("writing {}", file.display()));
        self.json.as_ref().map(open).transpose()
    }

    /// The command that does the same again.
    pub(crate) fn again(&self) -> String {
        let what = match &self.plan {
            None => format!("--minutes {} --seed {}", self.minutes, self.seed),
            Some(file) => format!("--plan {}", file.display()),
        };
        format!("cargo run --release -p reference-stack -- soak {what} --rate {}", self.rate)
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes| (SHORTEST..=LONGEST).contains(minutes));
    minutes.ok_or_else(|| format!("must be a number from {SHORTEST} to {LONGEST}"))
}
