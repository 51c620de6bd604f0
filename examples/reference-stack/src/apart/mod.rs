//! The stack as processes of its own services, for drills that replace, kill and start them again.

mod ask;
mod process;
mod stack;

pub(crate) use ask::{Answer, Asker};
pub(crate) use process::{Process, Variables};
pub(crate) use stack::Stack;

use anyhow::bail;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

/// How long anything of a drill's own may take: a service's start, its end, an answer to the drill's own questions.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Something that had to hold, and whether it did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    pub(crate) holds: bool,
    /// `0 of 1,200 (none)`
    pub(crate) figure: String,
}

// === impl Verdict ===

impl Verdict {
    pub(crate) fn new(name: impl Into<String>, holds: bool, figure: impl Into<String>) -> Self {
        Self { name: name.into(), holds, figure: figure.into() }
    }
}

/// A figure of a `/metrics`; the sum, if there are several by labels.
pub(crate) fn figure(metrics: &str, name: &str) -> Option<f64> {
    let of_line = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let rest = if rest.starts_with('{') { rest.split_once('}')?.1 } else { rest };
        rest.strip_prefix(' ')?.trim().parse::<f64>().ok()
    };
    metrics.lines().filter_map(of_line).reduce(|one, other| one + other)
}

/// What had to hold, a line for each.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for Verdict { name, holds, figure } in verdicts {
        let word = if *holds { "ok    " } else { "FAILED" };
        text.push_str(&format!("  {word}  {name}: {figure}\n"));
    }
    text
}

/// Does it, unless a signal ends it; then what it has started ends, too.
pub(crate) async fn unless_told_to_end<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("ended by SIGINT"),
    }
}
