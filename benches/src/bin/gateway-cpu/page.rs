//! The figures as a page.

use std::collections::HashMap;
use std::fmt::Write;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::instructions::Executed;
use mainstay_benches::rounds::{interval, median};
use mainstay_benches::table;

use crate::variant::Variant;
use crate::{CONNECTIONS, Effort, Took};

/// What all of it may add, as a share.
const MOST: f64 = 0.03;

pub(crate) struct Page {
    text: String,
    budgets: Vec<Budget>,
}

impl Page {
    pub(crate) fn new(
        effort: Effort,
        load: f64,
        rounds: &[[Took; Variant::ALL.len()]],
        executed: &HashMap<String, Executed>,
    ) -> Self {
        let packages = ["axum", "hyper", "hyper-util", "tokio", "metrics-exporter-prometheus"];
        let mut text = table::head("A gateway's CPU time", "gateway-cpu", load, effort.quick, &packages);
        let _ = writeln!(
            text,
            "- {} rounds; in each every variant is a new process, which answers {} requests on {CONNECTIONS} connections that are kept, half \
             of them before and half after those of the other variants; client and upstream are processes of their own\n\
             - *CPU*: user and kernel, all threads, in a request, median of the rounds. *× none*: median of the rounds' ratios, and the interval \
             that has it with a probability of 95 %. *p99*: at the client, median of the rounds. *instructions*: in user space, of a request \
             through the router to a client that answers at its second poll, without sockets\n",
            effort.rounds, effort.requests
        );
        text += "| the gateway has | CPU, µs | × none | 95 % | p99, µs | instructions |\n| --- | ---: | ---: | --- | ---: | ---: |\n";
        let mut budgets = Vec::new();
        for (at, variant) in Variant::ALL.into_iter().enumerate() {
            let of = |figure: fn(&Took) -> f64| {
                rounds.iter().filter_map(|round| round.get(at)).map(figure).collect::<Vec<_>>()
            };
            let (mut cpu, mut p99) = (of(|took| took.cpu), of(|took| took.p99));
            let mut ratios: Vec<f64> =
                rounds.iter().zip(&cpu).map(|([none, ..], cpu)| cpu / none.cpu).collect();
            let ratio = median(&mut ratios);
            let (low, high) = interval(&ratios);
            let executed = executed.get(variant.as_str()).map_or(f64::NAN, |executed| executed.instructions);
            let _ = writeln!(
                text,
                "| {} | {:.1} | {ratio:.3} | {low:.3} to {high:.3} | {:.0} | {executed:.0} |",
                variant.title(),
                median(&mut cpu),
                median(&mut p99),
            );
            if variant == Variant::All {
                budgets.push(Budget::new(
                    format!(
                        "all of Mainstay adds < {:.0} % to a gateway's CPU time for a request",
                        MOST * 100.0
                    ),
                    format!(
                        "{:+.1} % ({:+.1} to {:+.1} %)",
                        (ratio - 1.0) * 100.0,
                        (low - 1.0) * 100.0,
                        (high - 1.0) * 100.0
                    ),
                    ratio < 1.0 + MOST,
                ));
            }
        }
        text += &budget::section(&budgets);
        Self { text, budgets }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn budgets(&self) -> &[Budget] {
        &self.budgets
    }
}
