//! The figures as a page.

use std::fmt::Write;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::machine;
use mainstay_benches::rounds::median;

use crate::Asked;
use crate::case::{BYTES, Case, EACH_BATCH, EACH_ITEM, SinkIs, Subject};
use crate::disk::SyncTime;
use crate::figures::Figures;

/// How many times as many items a second a commit for all makes of a commit for each, with 32 writers.
const GROUP_COMMIT: f64 = 20.0;

pub(crate) struct Page {
    text: String,
    budgets: Vec<Budget>,
}

impl Page {
    pub(crate) fn new(asked: &Asked, load: f64, [before, after]: [SyncTime; 2]) -> Self {
        let mut text = String::from("# The spool\n\n");
        text += &machine::describe(load);
        let option = if asked.quick { " -- --quick" } else { "" };
        let _ = writeln!(
            text,
            "- command: `cargo run -p mainstay-benches --release --bin spool{option}`\n\
             - SQLite {}, rusqlite {}, tokio {}\n\
             - the disk: 4 KiB written and synced, median of 200, before the runs and after them: {} µs and {} µs over what is there, as in a \
             write-ahead file that is used again; {} µs and {} µs at the end of a file that grows\n\
             - items of {BYTES} bytes, without a key; medians of {} interleaved rounds of {:?}; load after the runs {}\n",
            rusqlite::version(),
            machine::version("rusqlite"),
            machine::version("tokio"),
            before.over.as_micros(),
            after.over.as_micros(),
            before.growing.as_micros(),
            after.growing.as_micros(),
            asked.rounds,
            asked.length,
            machine::load(),
        );
        Self { text, budgets: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}\n{}", self.text, budget::section(&self.budgets), include_str!("notes.md"))
    }

    pub(crate) fn held(&self) -> bool {
        budget::kept(&self.budgets)
    }

    pub(crate) fn results(&mut self, results: &[(Case, Figures)]) {
        self.text += "With a sink that takes everything:\n\n";
        self.table(results, SinkIs::Up);
        self.text += "\nWith a sink that is down, so that pushes alone count:\n\n";
        self.table(results, SinkIs::Down);
    }

    fn table(&mut self, results: &[(Case, Figures)], sink: SinkIs) {
        let delivers = sink == SinkIs::Up;
        self.text += "| | items a second | p50, µs | p99, µs | CPU for an item, µs |";
        self.text += if delivers { " delivered by the last push |" } else { "" };
        self.text += " rate, × plain | p99, × plain | CPU, × plain |\n| --- | ---: | ---: | ---: | ---: |";
        self.text += if delivers { " ---: |" } else { "" };
        self.text += " ---: | ---: | ---: |\n";
        for (case, figures) in results.iter().filter(|(case, _)| case.sink == sink) {
            let Figures { rate, p50, p99, cpu, delivered } = figures;
            let _ = write!(self.text, "| {} | {rate:.0} | {p50:.0} | {p99:.0} | {cpu:.1} |", case.name());
            if delivers {
                let _ = write!(self.text, " {:.0} % |", delivered * 100.0);
            }
            let plain = results.iter().find(|(plain, _)| plain.is_plain_for(case));
            match plain.filter(|_| !matches!(case.subject, Subject::Plain(_))) {
                Some((_, plain)) => {
                    let (rate, p99, cpu) = (rate / plain.rate, p99 / plain.p99, cpu / plain.cpu);
                    let _ = writeln!(self.text, " {rate:.1} | {p99:.2} | {cpu:.2} |");
                }
                None => self.text += " | | |\n",
            }
        }
    }

    /// Each round is compared for itself, because a disk that others use too is not the same one a minute later.
    pub(crate) fn budget(&mut self, cases: &[Case], runs: &[Vec<Figures>], groups: &mut [f64]) {
        let of = |subject, sink| {
            let is = |case: &Case| case.subject == subject && case.writers == 32 && case.sink == sink;
            cases.iter().zip(runs).find(|(case, _)| is(case)).map(|(_, runs)| runs)
        };
        for (sink, when) in [(SinkIs::Down, "pushes alone"), (SinkIs::Up, "deliveries beside them")] {
            let (Some(batch), Some(item)) = (of(EACH_BATCH, sink), of(EACH_ITEM, sink)) else { continue };
            let mut times: Vec<f64> =
                batch.iter().zip(item).map(|(batch, item)| batch.rate / item.rate).collect();
            let typical = median(&mut times);
            let (least, most) = (times.first().copied(), times.last().copied());
            let what = format!("32 writers, {when}: `EachBatch` ≥ {GROUP_COMMIT:.0} × `EachItem`");
            let figure = format!(
                "{typical:.1} × ({:.1} to {:.1}), with {:.1} items in a commit",
                least.unwrap_or(f64::NAN),
                most.unwrap_or(f64::NAN),
                median(groups),
            );
            self.budgets.push(Budget::new(what, figure, typical >= GROUP_COMMIT));
        }
    }
}
