//! Promises and what came of them: one table at the end of each page, which the report reads back for its summary.

use std::fmt::Write;

/// One promise, and what was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// What was promised.
    pub promise: String,
    /// What came out.
    pub measured: String,
    /// None if this run cannot say.
    pub met: Option<bool>,
}

const HEAD: &str = "| budget | measured | |\n| --- | --- | --- |\n";
const MET: &str = "met";
const NOT_MET: &str = "**NOT met**";
const NOT_JUDGED: &str = "not judged";

impl Budget {
    /// A promise that can be judged.
    pub fn new(promise: impl Into<String>, measured: impl Into<String>, met: bool) -> Self {
        Self { promise: promise.into(), measured: measured.into(), met: Some(met) }
    }

    /// What became of it, in words.
    pub fn judgement(&self) -> &'static str {
        match self.met {
            Some(true) => MET,
            Some(false) => NOT_MET,
            None => NOT_JUDGED,
        }
    }
}

/// The section of a page. Nothing if there are none.
pub fn section(budgets: &[Budget]) -> String {
    if budgets.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## Budgets\n\n{HEAD}");
    for budget in budgets {
        let _ = writeln!(text, "| {} | {} | {} |", budget.promise, budget.measured, budget.judgement());
    }
    text
}

/// The budgets of a page, as [`section`] wrote them.
pub fn read(page: &str) -> Vec<Budget> {
    let Some((_, table)) = page.split_once(HEAD) else { return Vec::new() };
    let rows = table.lines().map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter_map(|row| {
        let mut cells = row.split(" | ");
        let (promise, measured, judgement) = (cells.next()?, cells.next()?, cells.next()?);
        let met = match judgement {
            MET => Some(true),
            NOT_MET => Some(false),
            _ => None,
        };
        Some(Budget { promise: promise.to_owned(), measured: measured.to_owned(), met })
    })
    .collect()
}

/// Whether none is known to be broken.
pub fn kept(budgets: &[Budget]) -> bool {
    budgets.iter().all(|budget| budget.met != Some(false))
}
