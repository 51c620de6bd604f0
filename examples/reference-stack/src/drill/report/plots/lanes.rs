//! What is in one of a few states at a time: levels as steps, and a lane for each breaker.

use maud::{Markup, html};

use super::super::model::{Change, Report, Stack};
use super::super::words::{short, span};
use super::panel::{HEAD, INNER, LEFT, Panel};
use super::time::{Time, round};

const LEVEL: &str = "level";
const LEVELS: [&str; 4] = ["none", "minor", "moderate", "severe"];
/// Of a service's levels, with the gap above.
const STAIRS: f64 = 36.0;
const STAIRS_ROW: f64 = STAIRS + 12.0;
const LANE: f64 = 17.0;
/// What fits at the left.
const NAME: usize = 21;

/// A state, from when, to when.
struct Stay<'r> {
    state: &'r str,
    from_ms: f64,
    to_ms: f64,
}

/// What one thing went through.
struct Lane<'r> {
    service: &'r str,
    what: &'r str,
    stays: Vec<Stay<'r>>,
}

/// Everything of a stack that changed, in the order of services and names.
fn lanes<'r>(time: &Time<'_>, stack: &'r Stack, wanted: impl Fn(&Change) -> bool) -> Vec<Lane<'r>> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for change in stack.changes.iter().filter(|change| wanted(change)) {
        let name = (change.service.as_str(), change.what.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let of = |(service, what): (&'r str, &'r str)| {
        let mut changes: Vec<_> = stack
            .changes
            .iter()
            .filter(|change| (change.service.as_str(), change.what.as_str()) == (service, what))
            .collect();
        changes.sort_by_key(|change| change.at_ms);
        let first =
            changes.first().map(|first| Stay { state: &first.from, from_ms: 0.0, to_ms: first.at_ms as f64 });
        let ends = changes.iter().skip(1).map(|next| next.at_ms as f64).chain([time.length_ms()]);
        let rest = changes.iter().zip(ends);
        let rest =
            rest.map(|(change, to_ms)| Stay { state: &change.to, from_ms: change.at_ms as f64, to_ms });
        Lane { service, what, stays: first.into_iter().chain(rest).collect() }
    };
    names.into_iter().map(of).collect()
}

/// Stairs for each service.
pub(super) fn levels(time: &Time<'_>, report: &Report) -> Markup {
    let all = report.stacks.iter().map(|stack| (stack, lanes(time, stack, |change| change.what == LEVEL)));
    let all: Vec<_> = all.filter(|(_, lanes)| !lanes.is_empty()).collect();
    html! {
        @for (stack, lanes) in &all {
            @let panel = Panel::new(time, &title("Level of degradation", stack, report), "of each service", STAIRS_ROW * lanes.len() as f64 - 4.0);
            (panel.around(&html! {
                @for (row, lane) in lanes.iter().enumerate() {
                    (stairs(time, lane, HEAD + STAIRS_ROW * row as f64 + 6.0))
                }
            }))
        }
        @if all.is_empty() {
            p.none { "No level changed." }
        }
    }
}

fn stairs(time: &Time<'_>, lane: &Lane<'_>, top: f64) -> Markup {
    let step = STAIRS / 3.0;
    let bottom = top + STAIRS;
    html! {
        text.lane x=(LEFT - 60.0) y=(round(top + STAIRS / 2.0 + 4.0)) text-anchor="end" {
            title { (lane.service) }
            (short(lane.service, 14))
        }
        @for (level, name) in LEVELS.iter().enumerate() {
            @let y = round(bottom - step * level as f64);
            line.grid x1=(LEFT) x2=(LEFT + INNER) y1=(y) y2=(y) {}
            text.small x=(LEFT - 6.0) y=(y + 3.0) text-anchor="end" { (name) }
        }
        @for stay in &lane.stays {
            @let level = LEVELS.iter().position(|level| *level == stay.state).unwrap_or(0);
            @if level > 0 {
                @let (from, to) = (time.x(stay.from_ms), time.x(stay.to_ms));
                @let height = step * level as f64;
                rect.level.{ "level-" (level) } x=(round(from)) y=(round(bottom - height)) width=(round((to - from).max(1.0))) height=(round(height)) {
                    title { (stay.state) " for " (span((stay.to_ms - stay.from_ms).max(0.0) as u64)) }
                }
            }
        }
    }
}

/// A lane for each breaker, under its service.
pub(super) fn breakers(time: &Time<'_>, report: &Report) -> Markup {
    let all = report.stacks.iter().map(|stack| (stack, lanes(time, stack, |change| change.what != LEVEL)));
    let all: Vec<_> = all.filter(|(_, lanes)| !lanes.is_empty()).collect();
    html! {
        @for (stack, lanes) in &all {
            (breakers_of(time, &title("Breakers", stack, report), lanes))
        }
        @if all.is_empty() {
            p.none { "No breaker changed its state." }
        }
    }
}

fn breakers_of(time: &Time<'_>, title: &str, lanes: &[Lane<'_>]) -> Markup {
    let begins = |index: usize| {
        index.checked_sub(1).and_then(|before| lanes.get(before)).map(|lane| lane.service)
            != lanes.get(index).map(|lane| lane.service)
    };
    let mut y = HEAD;
    let mut rows = Vec::new();
    for (index, lane) in lanes.iter().enumerate() {
        let service = begins(index).then(|| {
            y += LANE;
            y
        });
        y += LANE;
        rows.push((lane, service, y));
    }
    Panel::new(time, title, "", y - HEAD + 6.0).around(&html! {
        (key())
        @for (lane, service, y) in rows {
            @if let Some(y) = service {
                text.lane.service x=(LEFT - 8.0) y=(round(y)) text-anchor="end" { title { (lane.service) } (short(lane.service, NAME)) }
            }
            text.lane x=(LEFT - 8.0) y=(round(y)) text-anchor="end" { title { (lane.what) } (short(lane.what, NAME)) }
            @for stay in &lane.stays {
                (mark(stay.state, time.x(stay.from_ms), time.x(stay.to_ms), y - 4.0))
            }
            @let open: f64 = lane.stays.iter().filter(|stay| stay.state == "open").map(|stay| stay.to_ms - stay.from_ms).sum();
            @if open > 0.0 {
                text.small x=(LEFT + INNER + 6.0) y=(round(y)) { "open for " (span(open as u64)) }
            }
        }
    })
}

/// The states differ in height as well as in colour: a thin line, a low bar, a high one.
fn mark(state: &str, from: f64, to: f64, middle: f64) -> Markup {
    let (class, height) = match state {
        "closed" => ("closed", 1.6),
        "open" | "forced-open" | "forced open" => ("open", 11.0),
        _ => ("half-open", 6.0),
    };
    html! {
        rect.breaker.(class) x=(round(from)) y=(round(middle - height / 2.0)) width=(round((to - from).max(0.8))) height=(height) {}
    }
}

fn key() -> Markup {
    html! {
        @for (index, state) in ["closed", "half-open", "open"].into_iter().enumerate() {
            @let x = LEFT + INNER - 264.0 + 92.0 * index as f64;
            (mark(state, x, x + 18.0, 12.0))
            text.small x=(x + 24.0) y="16" { (state) }
        }
    }
}

fn title(what: &str, stack: &Stack, report: &Report) -> String {
    if report.stacks.len() == 1 { what.to_owned() } else { format!("{what}: {}", stack.name) }
}
