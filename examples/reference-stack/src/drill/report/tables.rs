//! The tables of the page: both stacks side by side in each.

use maud::{Markup, html};

use super::model::{Class, Figures, Ids, Kind, Phase, Report, Stack, Verdict};
use super::outline::{ALL, Repeated};
use super::words::{clock, count, exact_clock, kind, millis, percent, seconds};

/// Columns of a stack for a class: heading, what stands there, and whether more than nothing is bad.
type Column = (&'static str, fn(&Class) -> String, bool);

const COLUMNS: [Column; 10] = [
    ("answered %", |class| percent(class.answered, class.requests), false),
    ("in 1 s %", |class| percent(class.quick, class.requests), false),
    ("degraded", |class| tally(class.degraded), false),
    ("partial", |class| tally(class.partial), false),
    ("refused", |class| tally(class.refused), false),
    ("failed", |class| tally(class.failed), true),
    ("p50", |class| millis(class.p50_ms), false),
    ("p99", |class| millis(class.p99_ms), false),
    ("p99.9", |class| millis(class.p999_ms), false),
    ("open", |class| millis(class.p99_open_ms), false),
];

/// Verdicts that do not hold, for the top of the page.
pub(super) fn what_failed(report: &Report) -> Markup {
    let failed: Vec<_> = report.verdicts.iter().filter(|verdict| !verdict.holds).collect();
    html! {
        @if !failed.is_empty() {
            ul.failures {
                @for Verdict { name, figure, .. } in failed {
                    li { (name) span.figure { (figure) } }
                }
            }
        }
    }
}

/// What the drill comes down to, in large figures.
pub(super) fn measures(report: &Report) -> Markup {
    let measures = report.measures();
    html! {
        @if !measures.is_empty() {
            table.measures {
                thead {
                    tr {
                        td {}
                        @for (index, stack) in report.stacks.iter().enumerate() {
                            th.{ "stack-" (index % 4) } scope="col" { (stack.name) }
                        }
                    }
                }
                tbody {
                    @for measure in &measures {
                        tr {
                            th scope="row" { (measure.what) }
                            @for (index, figure) in measure.figures.iter().enumerate() {
                                td.{ "stack-" (index % 4) } { (figure) @if !measure.unit.is_empty() { small { " " (measure.unit) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// As wide for one stack as for the other.
fn columns(stacks: &[Stack], figures: usize) -> Markup {
    html! {
        colgroup {
            col.first;
            col.second;
            @for _ in 0..stacks.len() * figures { col; }
        }
    }
}

/// A heading over the columns of each stack.
fn stack_headings(stacks: &[Stack], columns: usize) -> Markup {
    html! {
        @for (index, stack) in stacks.iter().enumerate() {
            th.begins.group.{ "stack-" (index % 4) } colspan=(columns) scope="colgroup" { (stack.name) }
        }
    }
}

/// A line for each phase.
pub(super) fn phases(report: &Report) -> Markup {
    html! {
        @if report.phases.is_empty() {
            p.none { "There were no phases." }
        } @else {
            div.wide {
                table.figures.even.phases {
                    (columns(&report.stacks, 8))
                    thead {
                        tr { th colspan="2" {} (stack_headings(&report.stacks, 8)) }
                        tr {
                            th.text { "phase" }
                            th { "at" }
                            @for _ in &report.stacks {
                                th.begins { "answered %" }
                                th { "in 1 s %" }
                                th { "failed" }
                                th { "p50 ms" }
                                th { "p99 ms" }
                                th { "detected" }
                                th { "degraded" }
                                th { "recovered" }
                            }
                        }
                    }
                    tbody {
                        @for (index, phase) in report.phases.iter().enumerate() {
                            tr.(kind(phase.kind)) {
                                th.text scope="row" { (phase.name) span.story { (phase.story) } }
                                td { (clock(phase.from_ms)) }
                                @for stack in &report.stacks {
                                    (phase_of(phase, stack.phases.get(index)))
                                }
                            }
                        }
                    }
                }
            }
            p.note { "From the phase’s begin: " b { "detected" } ", when the first breaker or check noticed; " b { "degraded" } ", when the level was worse than none; " b { "recovered" } ", when it was none again and all breakers were closed." }
        }
    }
}

fn phase_of(phase: &Phase, figures: Option<&Figures>) -> Markup {
    let Some(figures) = figures else { return html! { td.begins.nothing colspan="8" { "–" } } };
    let all = figures.all();
    // A dash where something should have happened and did not; nothing where it need not.
    let time = |wanted: Kind, time: Option<u64>| match time {
        Some(ms) => seconds(ms),
        None if phase.kind == wanted => "–".into(),
        None => String::new(),
    };
    html! {
        td.begins { (percent(all.answered, all.requests)) }
        td { (percent(all.quick, all.requests)) }
        td.bad[all.failed > 0].nothing[all.failed == 0] { (tally(all.failed)) }
        td { (millis(all.p50_ms)) }
        td { (millis(all.p99_ms)) }
        td { (time(Kind::Outage, figures.detected_after_ms)) }
        td { (time(Kind::Outage, figures.degraded_after_ms)) }
        td { (time(Kind::Recovery, figures.recovered_after_ms)) }
    }
}

/// A line for each class in each phase.
pub(super) fn classes(report: &Report) -> Markup {
    html! {
        @if report.phases.is_empty() {
            p.none { "There were no phases." }
        } @else {
            div.wide {
                table.figures.even.classes {
                    (columns(&report.stacks, COLUMNS.len()))
                    thead {
                        tr { th colspan="2" {} (stack_headings(&report.stacks, COLUMNS.len())) }
                        tr {
                            th.text { "class" }
                            th { "requests" }
                            @for _ in &report.stacks {
                                @for (index, (heading, ..)) in COLUMNS.iter().enumerate() {
                                    th.begins[index == 0] { (heading) }
                                }
                            }
                        }
                    }
                    @for (index, phase) in report.phases.iter().enumerate() {
                        (classes_of(report, phase, index))
                    }
                }
            }
        }
    }
}

fn classes_of(report: &Report, phase: &Phase, index: usize) -> Markup {
    let figures: Vec<_> = report.stacks.iter().map(|stack| stack.phases.get(index)).collect();
    let mut names: Vec<&str> = Vec::new();
    for class in figures.iter().flatten().flat_map(|figures| &figures.classes) {
        if !names.contains(&class.name.as_str()) {
            names.push(&class.name);
        }
    }
    let class = |figures: &Option<&Figures>, name: &str| {
        figures.and_then(|figures| figures.classes.iter().find(|class| class.name == name).cloned())
    };
    html! {
        tbody.(kind(phase.kind)) {
            tr.heading { th.text colspan=(2 + COLUMNS.len() * report.stacks.len()) scope="rowgroup" { (phase.name) } }
            @for name in names {
                tr.all[name == ALL] {
                    th.text scope="row" { (name) }
                    td { (figures.iter().find_map(|figures| class(figures, name)).map_or("–".into(), |class| count(class.requests))) }
                    @for figures in &figures {
                        (cells(class(figures, name)))
                    }
                }
            }
        }
    }
}

fn cells(class: Option<Class>) -> Markup {
    html! {
        @for (index, (_, cell, bad)) in COLUMNS.iter().enumerate() {
            @let text = class.as_ref().map_or("–".into(), cell);
            @let nothing = matches!(text.as_str(), "·" | "–");
            td.begins[index == 0].nothing[nothing].bad[*bad && !nothing] { (text) }
        }
    }
}

/// What became of the accepted tasks.
pub(super) fn tasks(report: &Report) -> Markup {
    let known: Vec<_> =
        report.stacks.iter().filter_map(|stack| Some((stack, stack.tasks.as_ref()?))).collect();
    html! {
        @if known.is_empty() {
            p.none { "The database could not be asked." }
        } @else {
            table.figures.tasks {
                thead {
                    tr { th {} th { "accepted" } th { "stored exactly once" } th { "lost" } th { "ended twice" } }
                }
                tbody {
                    @for (stack, tasks) in &known {
                        tr {
                            th.text scope="row" { (stack.name) }
                            td { (count(tasks.accepted)) }
                            td { (count(tasks.stored)) }
                            td.bad[tasks.lost.number > 0] { (count(tasks.lost.number)) }
                            @match &tasks.twice {
                                Some(twice) => td.bad[twice.number > 0] { (count(twice.number)) },
                                None => td { "–" },
                            }
                        }
                    }
                }
            }
            @for (stack, tasks) in &known {
                (ids(stack, "lost", &tasks.lost))
                @if let Some(twice) = &tasks.twice {
                    (ids(stack, "ended twice", twice))
                }
            }
        }
    }
}

fn ids(stack: &Stack, what: &str, ids: &Ids) -> Markup {
    html! {
        @if !ids.first.is_empty() {
            p.note { (stack.name) ", " (what) ":" }
            ul.ids {
                @for id in &ids.first { li { code { (id) } } }
                @if let Some(more) = ids.more() { li { "and " (more) " more" } }
            }
        }
    }
}

/// All changes of levels and breakers, under their phases.
pub(super) fn changes(report: &Report) -> Markup {
    let changes: Vec<_> = report.phases.iter().map(|phase| (phase, report.changes(phase))).collect();
    let none = changes.iter().all(|(_, changes)| changes.is_empty());
    html! {
        @if none {
            p.none { "No level and no breaker changed." }
        } @else {
            table.changes {
                @for (phase, changes) in changes.iter().filter(|(_, changes)| !changes.is_empty()) {
                    tbody.(kind(phase.kind)) {
                        tr.heading { td.time { (clock(phase.from_ms)) } th.text colspan="4" scope="rowgroup" { (phase.name) } }
                        @for change in changes {
                            (change_of(change))
                        }
                    }
                }
            }
        }
    }
}

fn change_of(Repeated { stack, change, times, last_ms }: &Repeated<'_>) -> Markup {
    html! {
        tr {
            td.time { (exact_clock(change.at_ms)) }
            td.stack { (stack) }
            td { (change.service) ": " b { (change.what) } }
            td { (change.from) " → " b { (change.to) } }
            td.cause { (change.cause) @if *times > 1 { span.again { (times) " times, last at " (exact_clock(*last_ms)) } } }
        }
    }
}

/// What had to hold, and by which figure it does or does not.
pub(super) fn verdicts(report: &Report) -> Markup {
    html! {
        @if report.verdicts.is_empty() {
            p.none { "Nothing was judged." }
        } @else {
            table.verdicts {
                @for Verdict { name, holds, figure } in &report.verdicts {
                    tr.fails[!holds] {
                        td.mark { @if *holds { "✓" } @else { "✗" } span.said { @if *holds { "holds" } @else { "does not hold" } } }
                        th.text scope="row" { (name) }
                        td.figure { (figure) }
                    }
                }
            }
        }
    }
}

/// A count; a dot for nothing, so that what is there is seen.
fn tally(number: u64) -> String {
    if number == 0 { "·".into() } else { count(number) }
}
