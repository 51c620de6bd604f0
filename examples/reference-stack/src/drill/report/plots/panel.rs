//! One plot: a title, the phases behind, ticks at the left, what is plotted, and what it is called at the right.

use std::fmt::Write;

use maud::{Markup, html};

use super::super::model::Second;
use super::super::words::short;
use super::series::{Scale, Series};
use super::time::{Time, round};

/// In the units of every plot's view box.
pub(in super::super) const WIDTH: f64 = 1_200.0;
pub(in super::super) const LEFT: f64 = 150.0;
pub(in super::super) const RIGHT: f64 = 124.0;
pub(super) const INNER: f64 = WIDTH - LEFT - RIGHT;
/// Above what is plotted, for the title.
pub(super) const HEAD: f64 = 24.0;
const FOOT: f64 = 8.0;
/// Between the texts at the right.
const LINE: f64 = 15.0;

pub(super) struct Panel<'r> {
    time: &'r Time<'r>,
    title: String,
    unit: &'r str,
    height: f64,
}

// === impl Panel ===

impl<'r> Panel<'r> {
    pub(super) fn new(time: &'r Time<'r>, title: &str, unit: &'r str, height: f64) -> Self {
        Self { time, title: short(title, 60), unit, height }
    }

    pub(super) fn bottom(&self) -> f64 {
        HEAD + self.height
    }

    /// The panel around what is plotted.
    pub(super) fn around(&self, content: &Markup) -> Markup {
        html! {
            svg.plot viewBox={ "0 0 " (WIDTH) " " (self.bottom() + FOOT) } role="img" aria-label={ (self.title) ", " (self.unit) } {
                (self.time.bands(HEAD, self.bottom()))
                text.title x=(LEFT) y="16" { (self.title) tspan.unit dx="8" { (self.unit) } }
                (content)
            }
        }
    }

    fn grid(&self, scale: &Scale) -> Markup {
        html! {
            @for (share, text) in scale.ticks() {
                @let y = round(self.y(share));
                line.grid x1=(LEFT) x2=(LEFT + INNER) y1=(y) y2=(y) {}
                text.tick x=(LEFT - 8.0) y=(y + 3.5) text-anchor="end" { (text) }
            }
        }
    }

    fn y(&self, share: f64) -> f64 {
        self.bottom() - share.clamp(0.0, 1.0) * self.height
    }

    /// A line for each stack, named at its end.
    pub(super) fn lines(&self, scale: &Scale, series: &[Series<'_>]) -> Markup {
        let last = |series: &Series<'_>| {
            let last = series.values.iter().rev().find_map(|value| *value).unwrap_or(0.0);
            self.y(scale.share(last)) + 4.0
        };
        let names = spread(series.iter().map(last).collect(), HEAD + 8.0, self.bottom());
        self.around(&html! {
            (self.grid(scale))
            // The first is drawn over the others.
            @for (index, series) in series.iter().enumerate().rev() {
                path.line.{ "stack-" (index % 4) } d=(self.steps(scale, &series.values)) {}
            }
            @for ((index, series), y) in series.iter().enumerate().zip(names) {
                @let x = LEFT + INNER + 6.0;
                path.line.{ "stack-" (index % 4) } d={ "M" (x) " " (round(y - 4.0)) "h14" } {}
                text.name.{ "stack-" (index % 4) } x=(x + 18.0) y=(round(y)) { (short(series.name, 14)) }
            }
        })
    }

    /// A step for each second; where there is no value, a gap.
    fn steps(&self, scale: &Scale, values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut drawn = false;
        for (second, value) in values.iter().enumerate() {
            let Some(value) = value else {
                drawn = false;
                continue;
            };
            let y = round(self.y(scale.share(*value)));
            let to = round(self.time.x((second + 1) as f64 * 1_000.0));
            let _ = match drawn {
                true => write!(path, "V{y}H{to}"),
                false => write!(path, "M{} {y}H{to}", round(self.time.x(second as f64 * 1_000.0))),
            };
            drawn = true;
        }
        path
    }

    /// What was not answered in full, one kind upon the other: failed, refused, degraded.
    pub(super) fn outcomes(&self, stack: usize, seconds: &[Second]) -> Markup {
        const KINDS: [&str; 3] = ["failed", "refused", "degraded"];
        let share = |second: &Second, kinds: usize| {
            let parts = [second.failed, second.refused, second.degraded];
            let sum: f64 = parts.into_iter().take(kinds).map(f64::from).sum();
            sum / f64::from(second.requests.max(1))
        };
        let seen = |kind: usize| seconds.iter().any(|second| share(second, kind + 1) > share(second, kind));
        let shown: Vec<_> = KINDS.into_iter().enumerate().filter(|(kind, _)| seen(*kind)).collect();
        self.around(&html! {
            (self.grid(&Scale::percent()))
            @for &(kind, name) in &shown {
                path.area.(name) d=(self.between(seconds, |second| share(second, kind), |second| share(second, kind + 1))) {}
            }
            @for (row, (_, name)) in shown.iter().rev().enumerate() {
                @let y = HEAD + 12.0 + row as f64 * 18.0;
                rect.area.(name) x=(LEFT + INNER + 6.0) y=(y - 9.0) width="14" height="10" {}
                text.name x=(LEFT + INNER + 24.0) y=(y) { (name) }
            }
            @if shown.is_empty() {
                text.name.{ "stack-" (stack % 4) } x=(LEFT + INNER + 6.0) y=(HEAD + 12.0) { "nothing" }
            }
        })
    }

    /// The area between two shares of each second.
    fn between(
        &self,
        seconds: &[Second],
        low: impl Fn(&Second) -> f64,
        high: impl Fn(&Second) -> f64,
    ) -> String {
        let mut path = format!("M{LEFT} {}", round(self.bottom()));
        let x = |second: usize| round(self.time.x(second as f64 * 1_000.0));
        for (index, second) in seconds.iter().enumerate() {
            let _ = write!(path, "V{}H{}", round(self.y(high(second))), x(index + 1));
        }
        for (index, second) in seconds.iter().enumerate().rev() {
            let _ = write!(path, "V{}H{}", round(self.y(low(second))), x(index));
        }
        path + "Z"
    }
}

/// Moves texts apart that would stand on each other, and keeps them between two heights as far as they fit.
fn spread(wanted: Vec<f64>, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<_> = wanted.into_iter().enumerate().collect();
    // Of those that end about alike the first stack stands first.
    order.sort_by_key(|(_, y)| (y / LINE) as i64);
    let mut lowest = top;
    for (_, y) in &mut order {
        *y = y.max(lowest);
        lowest = *y + LINE;
    }
    let over = (lowest - LINE - bottom).max(0.0);
    let mut places: Vec<_> = order.into_iter().map(|(index, y)| (index, y - over)).collect();
    places.sort_by_key(|(index, _)| *index);
    places.into_iter().map(|(_, y)| y).collect()
}
