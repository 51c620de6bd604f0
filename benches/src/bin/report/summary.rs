use std::fmt::Write;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::{machine, peers};

use crate::args::Args;
use crate::parts::Part;

/// What a part printed, now or at another time.
pub(crate) struct Page {
    pub(crate) part: &'static Part,
    pub(crate) text: String,
    pub(crate) measured_now: bool,
}

/// The page above those of the parts: every budget, and the breaker beside its peers in short.
pub(crate) fn write(pages: &[Page], args: &Args, load: f64) -> String {
    let mut text = format!("# Benchmarks\n\n{}", machine::describe(load));
    let versions: Vec<String> =
        peers::SETTINGS.iter().map(|(name, _)| format!("{name} {}", machine::version(name))).collect();
    let _ = writeln!(text, "- peers of the breaker: {}", versions.join(", "));
    let _ = writeln!(text, "- command: `{}`\n", args.command());
    if args.quick {
        text += "**A smoke run**: its rounds are too few and too short for its figures to mean anything.\n\n";
    }

    text += "| part | | measured |\n| --- | --- | --- |\n";
    for Page { part, text: page, .. } in pages {
        let date = page.lines().find_map(|line| line.strip_prefix("- date: ")).unwrap_or("?");
        let name = match &args.markdown {
            Some(path) => {
                let file = part.file(path);
                let file = file.file_name().map(|file| file.to_string_lossy().into_owned());
                format!("[{}]({})", part.name, file.unwrap_or_default())
            }
            None => part.name.to_owned(),
        };
        let _ = writeln!(text, "| {name} | {} | {date} |", part.what);
    }
    if let Some(section) = pages.iter().find_map(|page| section(&page.text, "## In short\n")) {
        let _ = write!(text, "\n## The breaker in short\n{section}");
    }
    budgets(&mut text, pages);
    text
}

fn budgets(text: &mut String, pages: &[Page]) {
    let all: Vec<(&str, Budget)> = pages
        .iter()
        .flat_map(|page| budget::read(&page.text).into_iter().map(|budget| (page.part.name, budget)))
        .collect();
    let of = |met| all.iter().filter(|(_, budget)| budget.met == met).count();
    let _ = writeln!(
        text,
        "\n## Every budget\n\n{} met, {} not met, {} not judged. Those that are not met come first.\n\n| part | budget | measured | |\n\
         | --- | --- | --- | --- |",
        of(Some(true)),
        of(Some(false)),
        of(None)
    );
    for met in [Some(false), None, Some(true)] {
        for (part, budget) in all.iter().filter(|(_, budget)| budget.met == met) {
            let _ = writeln!(
                text,
                "| {part} | {} | {} | {} |",
                budget.promise,
                budget.measured,
                budget.judgement()
            );
        }
    }
}

/// What stands in a page under a heading.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(heading)?;
    Some(rest.split_once("\n## ").map_or(rest, |(section, _)| section))
}
