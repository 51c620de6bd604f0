//! Small plots beneath each other on one axis of time: each is an SVG of its own, as wide as the others.

mod lanes;
mod panel;
mod series;
mod time;

use maud::{Markup, html};

use super::model::{Report, Second};
use panel::Panel;
use series::{Scale, Series};
use time::Time;

pub(super) use panel::{LEFT, RIGHT, WIDTH};

/// All of them, and the axis.
pub(super) fn plots(report: &Report) -> Markup {
    let time = &Time::of(report);
    let share = |part: fn(&Second) -> u32| {
        move |second: &Second| {
            (second.requests > 0).then(|| f64::from(part(second)) / f64::from(second.requests) * 100.0)
        }
    };
    let answered = Series::of_all(report, share(|second| second.answered));
    let p99 = Series::of_all(report, |second| second.p99_ms.map(f64::from));
    let p50 = Series::of_all(report, |second| second.p50_ms.map(f64::from));
    let latency = Scale::log_over(p50.iter().chain(&p99));
    if report.stacks.is_empty() {
        return html! { p.none { "Nothing was watched." } };
    }
    html! {
        (patterns())
        (time.names())
        (Panel::new(time, "Answered", "% of each second’s requests: in full, degraded or in part", 110.0)
            .lines(&Scale::percent(), &answered))
        (Panel::new(time, "Latency, p99", "ms, on a log scale, from when a request was meant to be sent", 110.0)
            .lines(&latency, &p99))
        (Panel::new(time, "Latency, p50", "ms, on the same scale", 80.0).lines(&latency, &p50))
        @for (index, stack) in report.stacks.iter().enumerate() {
            (Panel::new(time, &format!("Not in full: {}", stack.name), "% of each second’s requests", 64.0)
                .outcomes(index, &stack.seconds))
        }
        (lanes::levels(time, report))
        (lanes::breakers(time, report))
        (time.axis())
    }
}

/// What areas are filled with, so that they differ in more than colour.
fn patterns() -> Markup {
    html! {
        svg.patterns width="0" height="0" aria-hidden="true" {
            defs {
                @for name in ["refused", "half-open"] {
                    pattern id={ "hatch-" (name) } width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        rect.{ "ground-" (name) } width="4" height="4" {}
                        rect.{ "hatch-" (name) } width="1.4" height="4" {}
                    }
                }
            }
        }
    }
}

/// How long the axis is.
pub(super) fn length_ms(report: &Report) -> f64 {
    Time::of(report).length_ms()
}
