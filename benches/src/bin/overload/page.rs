//! The figures as a page.

use std::fmt::Write;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::machine;

use crate::dead::Recovery;
use crate::load::{Count, WINDOW, Window};
use crate::{BOUNDED, PATIENT, Run};

/// The least share of the critical requests that is served with the layer: over the run, and in every window.
const OVER_THE_RUN: f64 = 0.99;
const IN_EVERY_WINDOW: f64 = 0.95;
/// Without the layer, each class gets less than this.
const COLLAPSED: f64 = 0.5;

pub(crate) struct Page {
    text: String,
    budgets: Vec<Budget>,
}

impl Page {
    pub(crate) fn new(seconds: u64, load_before: f64) -> Self {
        let option = if seconds == 300 { String::new() } else { format!(" -- --seconds {seconds}") };
        let mut text = String::from("# Overload\n\n");
        text += &machine::describe(load_before);
        let _ = writeln!(
            text,
            "- command: `cargo run -p mainstay-benches --release --bin overload{option}`\n- tokio {}, tower {}",
            machine::version("tokio"),
            machine::version("tower"),
        );
        Self { text, budgets: Vec::new() }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}{}\n{}", self.text, budget::section(&self.budgets), include_str!("notes.md"))
    }

    pub(crate) fn held(&self) -> bool {
        budget::kept(&self.budgets)
    }

    /// A table of all runs, and one of every window.
    pub(crate) fn overload(&mut self, runs: &[Run], results: &[Vec<Window>]) {
        let _ = writeln!(
            self.text,
            "- the service does {} requests a second, each in {:?}; {} are sent, by a Poisson process, in real time: critical ones at 0.8 of \
             the capacity, sheddable_plus and sheddable ones at 1.1 each\n\
             - {} requests wait, one more is refused, and callers give up after {:?}; or, \"no bound\": all wait, and callers give up after \
             {:?}\n\
             - the manager has its defaults, and knows nothing but the traffic's errors and latency\n",
            BOUNDED.capacity(),
            BOUNDED.work,
            BOUNDED.capacity() * 3.0,
            BOUNDED.queue,
            BOUNDED.timeout,
            PATIENT.timeout,
        );
        self.text +=
            "| run | critical | worst 10 s | sheddable_plus | sheddable | requests a second served |\n";
        self.text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
        for (run, windows) in runs.iter().zip(results) {
            let [critical, plus, sheddable] = totals(windows);
            let worst = worst(windows);
            let served = critical.served + plus.served + sheddable.served;
            let _ = writeln!(
                self.text,
                "| {} | {} | {} | {} | {} | {:.0} |",
                run.what,
                percent(critical.share()),
                percent(worst),
                percent(plus.share()),
                percent(sheddable.share()),
                served as f64 / (windows.len() as f64 * WINDOW.as_secs_f64()),
            );
            self.judge(run, critical.share(), worst, [critical, plus, sheddable]);
        }
        self.text += "\nServed of what was sent in each 10 s, with the layer, and the critical ones of the other runs:\n\n";
        self.text += "| from | level | pressure | critical | longest | sheddable_plus | sheddable |";
        for run in runs.iter().skip(1) {
            let _ = write!(self.text, " {} |", run.what);
        }
        self.text += "\n| ---: | --- | --- | ---: | ---: | ---: | ---: |";
        self.text += &" ---: |".repeat(runs.len() - 1);
        self.text += "\n";
        let Some((first, others)) = results.split_first() else { return };
        for (index, window) in first.iter().enumerate() {
            let [critical, plus, sheddable] = window.counts.map(|count| percent(count.share()));
            let (least, most) = window.pressure.unwrap_or_default();
            let _ = write!(
                self.text,
                "| {} s | {} | {least:.2} to {most:.2} | {critical} | {} ms | {plus} | {sheddable} |",
                index as u64 * WINDOW.as_secs(),
                window.level.as_str(),
                window.longest.as_millis(),
            );
            for other in others {
                let share = other.get(index).map_or(f64::NAN, |window| window.counts[0].share());
                let _ = write!(self.text, " {} |", percent(share));
            }
            self.text += "\n";
        }
    }

    fn judge(&mut self, run: &Run, critical: f64, worst: f64, classes: [Count; 3]) {
        if run.sheds {
            let figure = format!("{} and {}", percent(critical), percent(worst));
            let held = critical >= OVER_THE_RUN && worst >= IN_EVERY_WINDOW;
            let what = format!("{}: critical ≥ 99 % over the run, ≥ 95 % in every 10 s", run.what);
            self.budgets.push(Budget::new(what, figure, held));
        } else {
            let best = classes.map(|count| count.share()).into_iter().fold(0.0, f64::max);
            let what = format!("{}: every class collapses, to less than half", run.what);
            self.budgets.push(Budget::new(what, format!("{} at best", percent(best)), best < COLLAPSED));
        }
    }

    pub(crate) fn recoveries(&mut self, recoveries: &[(&str, Recovery)]) {
        self.text += "\nA dependency that is dead for ten minutes, with a request every 100 ms that asks `behavior()` first, by a manual clock:\n\n";
        self.text +=
            "| `open_for` | from the cache | calls while dead | open for another | closed after | calls |\n";
        self.text += "| --- | ---: | ---: | ---: | ---: | ---: |\n";
        for (what, recovery) in recoveries {
            let _ = writeln!(
                self.text,
                "| {what} | {} | {} | {:.1} s | {:.1} s | {} |",
                recovery.cached,
                recovery.calls_while_dead,
                recovery.open_left.as_secs_f64(),
                recovery.closed.as_secs_f64(),
                recovery.calls,
            );
            let figure = format!(
                "{} calls, {:.1} s after it was well; `open_for` is at most {:?}",
                recovery.calls,
                recovery.closed.as_secs_f64(),
                recovery.open_for,
            );
            let what =
                format!("{what}: closed after `open_for` and `close_after` = {} calls", recovery.close_after);
            self.budgets.push(Budget::new(what, figure, recovery.held()));
        }
    }
}

fn totals(windows: &[Window]) -> [Count; 3] {
    let mut totals = [Count::default(); 3];
    for window in windows {
        for (total, count) in totals.iter_mut().zip(window.counts) {
            total.add(count);
        }
    }
    totals
}

/// The smallest share of critical requests that were served in any window.
fn worst(windows: &[Window]) -> f64 {
    windows.iter().map(|window| window.counts[0].share()).fold(1.0, f64::min)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
