//! The report as text of 120 columns.

use std::fmt::Write;

use super::model::{Class, Figures, Phase, Report, Stack};
use super::outline::{Measure, Repeated};
use super::words::{clock, count, exact_clock, percent, short, span, tame};

const WIDTH: usize = 120;
/// Of a class and the number of its requests.
const LEFT: usize = 20;
/// Columns of a stack: heading, width, and what stands there.
type Column = (&'static str, usize, fn(&Class) -> String);

const COLUMNS: [Column; 9] = [
    ("answ %", 7, |class| percent(class.answered, class.requests)),
    ("≤1s%", 5, |class| short_percent(class.quick, class.requests)),
    ("degr", 5, |class| tally(class.degraded)),
    ("part", 5, |class| tally(class.partial)),
    ("refu", 5, |class| tally(class.refused)),
    ("fail", 5, |class| tally(class.failed)),
    ("p50", 6, |class| millis(class.p50_ms)),
    ("p99", 6, |class| millis(class.p99_ms)),
    ("p99.9", 6, |class| millis(class.p999_ms)),
];

const LEGEND: &str = "\
answ %   answered well-formed, in percent: in full, degraded (degr) or in part (part); ≤1s% within a second
refu     refused clearly: 503 with Retry-After; fail is anything else: errors, broken answers, no answer in time
p50 ...  latency in ms, from when a request was meant to be sent, whatever became of it
p99 open the same of those that were meant to be sent after the breakers had opened
";

/// The whole report.
pub(crate) fn terminal(report: &Report) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("Drill: {} ({})", one_line(&report.name), one_line(&report.began)));
    wrapped(&mut text, "", &report.sentence());
    text.push('\n');
    text.push_str(LEGEND);
    for (index, phase) in report.phases.iter().enumerate() {
        heading(&mut text, &format!("{}/{} {}", index + 1, report.phases.len(), phase.name), phase);
        // Two fit beside each other.
        for stacks in report.stacks.chunks(2) {
            block(&mut text, stacks, index);
        }
        times(&mut text, &report.stacks, index);
        changes(&mut text, report, phase);
    }
    tasks(&mut text, &report.stacks);
    verdicts(&mut text, report);
    tame(&text)
}

fn line(text: &mut String, line: impl std::fmt::Display) {
    let _ = writeln!(text, "{line}");
}

/// A name that does not end the line it stands in.
fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// As many lines as its words need; those after the first begin where its words do.
fn wrapped(text: &mut String, begin: &str, words: &str) {
    let indent = begin.chars().count();
    let mut row = begin.to_owned();
    let mut width = indent;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if width > indent && width + 1 + length > WIDTH {
            line(text, row.trim_end());
            row = " ".repeat(indent);
            width = indent;
        }
        if width > indent {
            row.push(' ');
            width += 1;
        }
        row.push_str(word);
        width += length;
    }
    line(text, row.trim_end());
}

fn heading(text: &mut String, name: &str, phase: &Phase) {
    let name = one_line(&short(name, 60));
    let begin = format!("━━ {name} ━ {} to {} ", clock(phase.from_ms), clock(phase.to_ms));
    line(text, format_args!("\n{begin:━<WIDTH$}"));
    if !phase.story.trim().is_empty() {
        wrapped(text, "", &phase.story);
    }
}

/// A line for each class, the stacks beside each other.
fn block(text: &mut String, stacks: &[Stack], phase: usize) {
    let figures: Vec<_> = stacks.iter().map(|stack| stack.phases.get(phase)).collect();
    let width: usize = COLUMNS.iter().map(|(_, width, _)| width).sum();
    let names = stacks.iter().map(|stack| {
        let name = one_line(&short(&stack.name, width - 4));
        format!("  {:─<1$}", format!("{name} "), width - 2)
    });
    line(text, format_args!("{:LEFT$}{}", "", names.collect::<String>()).to_string().trim_end());
    let headings: String = COLUMNS.iter().map(|(heading, width, _)| format!("{heading:>width$}")).collect();
    line(text, format_args!("{:<15}{:>5}{}", "class", "sent", headings.repeat(stacks.len())));
    for name in classes(&figures) {
        let class = |figures: &Option<&Figures>| {
            let mut classes = figures.iter().flat_map(|figures| &figures.classes);
            classes.find(|class| class.name == name).cloned()
        };
        let sent = figures.iter().find_map(class).map_or(0, |class| class.requests);
        let mut row = format!("{:<15}{:>5}", one_line(&short(name, 15)), tally(sent));
        for figures in &figures {
            for (_, width, cell) in COLUMNS {
                let cell = class(figures).map_or("–".into(), |class| cell(&class));
                let _ = write!(row, "{cell:>width$}");
            }
        }
        line(text, row);
    }
}

/// The names of all classes, in the order in which they come.
fn classes<'r>(figures: &[Option<&'r Figures>]) -> Vec<&'r str> {
    let mut names = Vec::new();
    for class in figures.iter().flatten().flat_map(|figures| &figures.classes) {
        if !names.contains(&class.name.as_str()) {
            names.push(&class.name);
        }
    }
    names
}

/// What was noticed when, of those stacks that noticed anything.
fn times(text: &mut String, stacks: &[Stack], phase: usize) {
    for (stack, figures) in stacks.iter().filter_map(|stack| Some((stack, stack.phases.get(phase)?))) {
        let times = [
            ("detected after", figures.detected_after_ms.map(span)),
            ("degraded after", figures.degraded_after_ms.map(span)),
            ("recovered after", figures.recovered_after_ms.map(span)),
            ("p99 open", figures.all().p99_open_ms.map(|ms| format!("{} ms", millis(Some(ms))))),
        ];
        let times: Vec<_> =
            times.into_iter().filter_map(|(what, time)| Some(format!("{what} {}", time?))).collect();
        if !times.is_empty() {
            line(text, format_args!("{:<15} {}", one_line(&short(&stack.name, 15)), times.join(", ")));
        }
    }
}

fn changes(text: &mut String, report: &Report, phase: &Phase) {
    let several = report.stacks.iter().filter(|stack| !stack.changes.is_empty()).count() > 1;
    for Repeated { stack, change, times, last_ms } in report.changes(phase) {
        let who = match several {
            true => format!("{stack}: {} {}", change.service, change.what),
            false => format!("{} {}", change.service, change.what),
        };
        let begin = format!(
            "{:>9}  {:<32} {:>9} → {:<9} ",
            exact_clock(change.at_ms),
            one_line(&short(&who, 32)),
            one_line(&short(&change.from, 9)),
            one_line(&short(&change.to, 9)),
        );
        let again = match times {
            1 => String::new(),
            _ => format!(" ({times} times, last at {})", exact_clock(last_ms)),
        };
        wrapped(text, &begin, &format!("{}{again}", change.cause));
    }
}

fn tasks(text: &mut String, stacks: &[Stack]) {
    if stacks.is_empty() {
        return;
    }
    line(text, "\nTasks that were accepted, and what is in the database at the end:\n");
    line(text, format_args!("  {:<30}{:>10}{:>10}{:>8}{:>8}", "", "accepted", "stored", "lost", "twice"));
    for stack in stacks {
        let name = one_line(&short(&stack.name, 28));
        match &stack.tasks {
            None => line(text, format_args!("  {name:<30}the database could not be asked")),
            Some(tasks) => {
                let lost = count(tasks.lost.number);
                let twice = tasks.twice.as_ref().map_or("–".into(), |twice| count(twice.number));
                let (accepted, stored) = (count(tasks.accepted), count(tasks.stored));
                line(text, format_args!("  {name:<30}{accepted:>10}{stored:>10}{lost:>8}{twice:>8}"));
                for (what, ids) in [("lost", Some(&tasks.lost)), ("twice", tasks.twice.as_ref())] {
                    let Some(ids) = ids else { continue };
                    ids.first.iter().for_each(|id| line(text, format_args!("    {what:<6}{}", one_line(id))));
                    if let Some(more) = ids.more() {
                        line(text, format_args!("    {what:<6}and {more} more"));
                    }
                }
            }
        }
    }
}

fn verdicts(text: &mut String, report: &Report) {
    line(text, "\nWhat had to hold:\n");
    for verdict in &report.verdicts {
        let word = if verdict.holds { "ok    " } else { "FAILED" };
        let (name, figure) = (one_line(&verdict.name), one_line(&verdict.figure));
        let gap =
            if 12 + name.chars().count() + figure.chars().count() > WIDTH { "\n          " } else { ": " };
        line(text, format_args!("  {word}  {name}{gap}{figure}"));
    }
    measures(text, report);
    let (word, detail) = report.headline();
    line(text, format_args!("\n{}. {detail}", word.to_uppercase()));
}

fn measures(text: &mut String, report: &Report) {
    let measures = report.measures();
    if measures.is_empty() {
        return;
    }
    let column = |cell: &str| format!("{:>18}", short(cell, 16));
    let names: String = report.stacks.iter().map(|stack| column(&one_line(&stack.name))).collect();
    line(text, format_args!("\n{:<52}{names}", "What it comes down to:"));
    for Measure { what, unit, figures } in measures {
        let figures: String =
            figures.iter().map(|figure| column(format!("{figure} {unit}").trim_end())).collect();
        line(text, format_args!("  {what:<50}{figures}"));
    }
}

/// A count in four columns.
fn tally(number: u64) -> String {
    match number {
        0 => "·".into(),
        1..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// A share in percent in four columns, rounded down.
fn short_percent(part: u64, whole: u64) -> String {
    let percent = percent(part, whole);
    if percent.contains('.') { percent.chars().take(4).collect() } else { percent }
}

/// Milliseconds in five columns.
fn millis(ms: Option<f64>) -> String {
    match ms.filter(|ms| ms.is_finite()) {
        None => "–".into(),
        Some(ms) if ms < 99.95 => format!("{ms:.1}"),
        Some(ms) if ms < 9_999.5 => format!("{ms:.0}"),
        Some(ms) => format!("{:.1}s", ms / 1_000.0),
    }
}
