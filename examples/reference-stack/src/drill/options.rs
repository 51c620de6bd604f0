use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::drill::plan::{LONGEST, Plan};
use crate::drill::report::{self, Report};
use crate::drill::verdicts::Promise;
use crate::drill::world::World;

const OUTAGES: &str = include_str!("../../plans/outages.yaml");
const SHORT: &str = include_str!("../../plans/short.yaml");

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to do: a YAML file of phases; plans/outages.yaml is the one that is played without this
    #[arg(long, value_name = "FILE", conflicts_with = "short")]
    plan: Option<PathBuf>,
    /// Play the short plan, of about a minute
    #[arg(long)]
    short: bool,
    /// Requests a second, at each of the stacks
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub(crate) rate: u32,
    /// Do not run a stack without Mainstay's layers beside it
    #[arg(long)]
    no_comparison: bool,
    /// Where the report goes as JSON [default: target/drill/report.json, or drill-report.json where there is no target]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the report goes as a page [default: target/drill/report.html, or drill-report.html where there is no target]
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// A stack that runs already. The drill breaks it by the plan's commands and by fault switches.
#[derive(Debug, Args)]
#[command(next_help_heading = "A stack that runs already")]
struct Elsewhere {
    /// Its gateway; nothing is started then
    #[arg(long, requires = "token", value_parser = url)]
    url: Option<String>,
    /// A bearer token of a user with plenty of room; more than one spreads the load
    #[arg(long, env = "DRILL_TOKEN", hide_env_values = true, value_delimiter = ',')]
    token: Vec<String>,
    /// An admin port whose metrics tell levels and breakers, as `gateway=http://127.0.0.1:8090`
    #[arg(long = "admin-url", value_name = "NAME=URL", value_parser = named)]
    admin_urls: Vec<(String, String)>,
    /// The admin port of agent-core, for its fault switches
    #[arg(long, value_name = "URL", value_parser = url)]
    agents_admin_url: Option<String>,
    /// The admin port of llm-service, for its fault switches
    #[arg(long, value_name = "URL", value_parser = url)]
    llm_admin_url: Option<String>,
    /// Its PostgreSQL, to compare accepted tasks with; without it each is asked for
    #[arg(long, value_name = "URL", env = "DRILL_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// For how long its levels are held
    #[arg(long, default_value = "30s", value_parser = duration)]
    relax_after: Duration,
    /// For how long its breakers stay open at most
    #[arg(long, default_value = "30s", value_parser = duration)]
    open_for: Duration,
}

/// The files that the report goes to.
#[derive(Debug)]
pub(crate) struct Targets {
    json: Target,
    html: Target,
}

/// A file that can be written. It is removed again if it was not there before and nothing was written to it.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    file: File,
    is_new: bool,
}

// === impl Options ===

impl Options {
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let read;
        let yaml = match &self.plan {
            Some(file) => {
                read =
                    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                &read
            }
            None if self.short => SHORT,
            None => OUTAGES,
        };
        Ok(Plan::read(yaml)?)
    }

    pub(crate) fn compares(&self) -> bool {
        !self.no_comparison
    }

    /// A stack that runs already, if that is what is drilled.
    pub(crate) fn running(&self) -> Option<World> {
        let Elsewhere { url, agents_admin_url, llm_admin_url, .. } = &self.elsewhere;
        url.as_ref()?;
        Some(World::Running { agents: agents_admin_url.clone(), model: llm_admin_url.clone() })
    }

    pub(crate) fn gateway(&self) -> anyhow::Result<String> {
        let url = self.elsewhere.url.as_deref().context("a gateway's URL")?;
        Ok(url.trim_end_matches('/').to_owned())
    }

    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<String>> {
        match self.elsewhere.token.as_slice() {
            [] => bail!("a token is needed: --token, or DRILL_TOKEN"),
            tokens => Ok(tokens.to_vec()),
        }
    }

    pub(crate) fn admins(&self) -> Vec<(String, String)> {
        self.elsewhere.admin_urls.clone()
    }

    pub(crate) fn database(&self) -> Option<String> {
        self.elsewhere.database_url.clone()
    }

    /// What the stack promises of its recovery.
    pub(crate) fn promise(&self, own: Promise) -> Promise {
        let Elsewhere { relax_after, open_for, .. } = self.elsewhere;
        if self.elsewhere.url.is_some() { Promise { relax_after, open_for } } else { own }
    }

    /// Where the report will be written, which must be possible.
    pub(crate) fn targets(&self) -> anyhow::Result<Targets> {
        let json = Target::open(self.place(self.json.as_deref(), "json"))?;
        let html = Target::open(self.place(self.html.as_deref(), "html"))?;
        Ok(Targets { json, html })
    }

    fn place(&self, said: Option<&Path>, kind: &str) -> PathBuf {
        match said {
            Some(said) => said.to_owned(),
            None if Path::new("target").is_dir() => format!("target/drill/report.{kind}").into(),
            None => format!("drill-report.{kind}").into(),
        }
    }
}

// === impl Targets ===

impl Targets {
    /// Prints the report, and writes it as JSON and as a page. What cannot be written does not keep the rest from it.
    pub(crate) fn tell(self, report: &Report) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let printed = writeln!(out, "{}", report::terminal(report)).context("printing the report");
        let (html, json) = (self.html.path.clone(), self.json.path.clone());
        let written = self.html.write(&report::html(report));
        let text = serde_json::to_string_pretty(report).context("the report as JSON");
        let kept = text.and_then(|text| self.json.write(&text));
        printed.and(written).and(kept)?;
        writeln!(out, "The same as a page: {}\nand as JSON: {}", html.display(), json.display())?;
        Ok(())
    }
}

// === impl Target ===

impl Target {
    /// Leaves what is there as it is.
    fn open(path: PathBuf) -> anyhow::Result<Self> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        }
        let is_new = !path.exists();
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { path, file, is_new })
    }

    fn write(mut self, text: &str) -> anyhow::Result<()> {
        let written = (|| {
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(text.as_bytes())
        })();
        self.is_new = false;
        written.with_context(|| format!("writing {}", self.path.display()))
    }
}

impl Drop for Target {
    /// An empty report is none.
    fn drop(&mut self) {
        if self.is_new {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// There is no TLS here.
fn url(text: &str) -> Result<String, String> {
    let has_place = text.strip_prefix("http://").is_some_and(|place| !place.is_empty());
    if has_place { Ok(text.to_owned()) } else { Err("must be a URL that begins with http://".to_owned()) }
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, there)) if !name.is_empty() => Ok((name.to_owned(), url(there)?)),
        _ => Err("must be a name and a URL, as gateway=http://127.0.0.1:8090".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let read = humantime::parse_duration(text).ok().filter(|read| *read <= LONGEST);
    read.ok_or_else(|| "must be a duration with a unit of at most 1h, such as 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plans_are_as_long_as_is_promised_and_begin_with_nothing_broken() {
        for (yaml, most) in [(OUTAGES, Duration::from_mins(6)), (SHORT, Duration::from_secs(90))] {
            let plan = Plan::read(yaml).unwrap();
            // Start and end take a while as well.
            assert!(plan.length() + Duration::from_secs(20) < most, "{}: {:?}", plan.name, plan.length());
            assert!(plan.phases.first().is_some_and(|phase| phase.r#break.is_empty()), "{}", plan.name);
            assert!(plan.phases.last().is_some_and(|phase| phase.r#break.len() > 3), "{}", plan.name);
            assert!(plan.phases.iter().all(|phase| phase.opens), "{}", plan.name);
        }
    }

    #[test]
    fn a_report_that_is_not_written_leaves_no_file_and_spoils_none() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("reports/report.json");
        drop(Target::open(file.clone()).unwrap());
        assert!(!file.exists());
        Target::open(file.clone()).unwrap().write("a long one").unwrap();
        drop(Target::open(file.clone()).unwrap());
        Target::open(file.clone()).unwrap().write("short").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "short");
        assert!(Target::open(place.path().to_owned()).is_err());
    }
}
