use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use crate::drill::plan::Plan;
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
    #[arg(long, requires = "token")]
    url: Option<String>,
    /// A bearer token of a user with plenty of room; more than one spreads the load
    #[arg(long, env = "DRILL_TOKEN", hide_env_values = true, value_delimiter = ',')]
    token: Vec<String>,
    /// An admin port whose metrics tell levels and breakers, as `gateway=http://127.0.0.1:8090`
    #[arg(long = "admin-url", value_name = "NAME=URL", value_parser = named)]
    admin_urls: Vec<(String, String)>,
    /// The admin port of agent-core, for its fault switches
    #[arg(long, value_name = "URL")]
    agents_admin_url: Option<String>,
    /// The admin port of llm-service, for its fault switches
    #[arg(long, value_name = "URL")]
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

    /// Prints the report, and writes it as JSON and as a page.
    pub(crate) fn tell(&self, report: &Report) -> anyhow::Result<()> {
        let (json, html) =
            (self.place(self.json.as_deref(), "json"), self.place(self.html.as_deref(), "html"));
        write(&json, &serde_json::to_string_pretty(report)?)?;
        write(&html, &report::html(report))?;
        println!("{}", report::terminal(report));
        println!("The same as a page: {}\nand as JSON: {}", html.display(), json.display());
        Ok(())
    }

    fn place(&self, said: Option<&Path>, kind: &str) -> PathBuf {
        match said {
            Some(said) => said.to_owned(),
            None if Path::new("target").is_dir() => format!("target/drill/report.{kind}").into(),
            None => format!("drill-report.{kind}").into(),
        }
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    std::fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && url.starts_with("http://") => {
            Ok((name.to_owned(), url.to_owned()))
        }
        _ => Err("must be a name and a URL, as gateway=http://127.0.0.1:8090".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let rule = "must be a duration with a unit, such as 30s";
    humantime::parse_duration(text).map_err(|_| rule.to_owned())
}
