//! The axis that all plots share: seconds from left to right, and the phases behind them.

use maud::{Markup, html};

use super::super::model::{Kind, Phase, Report};
use super::super::words::{clock, kind, short};
use super::panel::{INNER, LEFT, WIDTH};

/// Between two ticks of the axis, in seconds: the first that leaves them enough room is taken.
const STEPS: [u64; 14] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600];
/// Room for a tick's text.
const TICK: f64 = 52.0;
/// The names of phases are slanted, so that they fit however short the phases are.
const SLANT: f64 = 32.0;

pub(super) struct Time<'r> {
    length_ms: f64,
    pub(super) phases: &'r [Phase],
}

// === impl Time ===

impl<'r> Time<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let seconds = report.stacks.iter().map(|stack| stack.seconds.len() as u64 * 1_000);
        let ends = report.phases.iter().map(|phase| phase.to_ms);
        let length = seconds.chain(ends).fold(report.length_ms.max(1_000), u64::max);
        Self { length_ms: length as f64, phases: &report.phases }
    }

    pub(super) fn length_ms(&self) -> f64 {
        self.length_ms
    }

    /// Where a moment stands.
    pub(super) fn x(&self, ms: f64) -> f64 {
        LEFT + (ms / self.length_ms).clamp(0.0, 1.0) * INNER
    }

    /// The phases as grounds, from a height to another.
    pub(super) fn bands(&self, top: f64, bottom: f64) -> Markup {
        html! {
            @for phase in self.phases {
                @let (from, to) = (self.x(phase.from_ms as f64), self.x(phase.to_ms as f64));
                rect.band.(kind(phase.kind)) x=(round(from)) y=(round(top)) width=(round((to - from).max(0.0))) height=(round(bottom - top)) {}
            }
        }
    }

    /// What the phases are called, slanted above the first plot.
    pub(super) fn names(&self) -> Markup {
        let longest = self.phases.iter().map(|phase| phase.name.chars().count().min(24)).max().unwrap_or(0);
        let (sine, _) = SLANT.to_radians().sin_cos();
        let height = (longest as f64 * 7.0 * sine + 18.0).round();
        html! {
            @if !self.phases.is_empty() {
                svg.plot.names viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="The phases" {
                    @for (index, phase) in self.phases.iter().enumerate() {
                        @let x = self.x(phase.from_ms as f64);
                        // A phase's name begins over the middle of its band, as far as that is not far away.
                        @let middle = x + ((self.x(phase.to_ms as f64) - x) / 2.0).min(24.0);
                        @if self.has_room(index) {
                            text.phase.(kind(phase.kind)) x=(round(middle)) y=(round(height - 6.0))
                                transform={ "rotate(-" (SLANT) " " (round(middle)) " " (round(height - 6.0)) ")" } {
                                title { (phase.name) ": " (phase.story) }
                                (short(&phase.name, 24))
                            }
                        }
                    }
                    (self.bands(height - 3.0, height))
                }
            }
        }
    }

    /// Among very many phases only outages are named, and of these only those that do not stand on the one before.
    fn has_room(&self, index: usize) -> bool {
        let room = INNER / self.phases.len().max(1) as f64;
        let Some(phase) = self.phases.get(index) else { return false };
        let earlier =
            self.phases.iter().take(index).rev().find(|earlier| room >= 22.0 || earlier.kind == phase.kind);
        let gap =
            earlier.map_or(f64::MAX, |earlier| self.x(phase.from_ms as f64) - self.x(earlier.from_ms as f64));
        (room >= 22.0 || phase.kind == Kind::Outage) && gap >= 14.0
    }

    /// The ticks' places and texts.
    fn ticks(&self) -> Vec<(f64, String)> {
        let seconds = self.length_ms / 1_000.0;
        let most = INNER / TICK;
        let step = STEPS.into_iter().find(|step| seconds / *step as f64 <= most).unwrap_or(86_400);
        let ticks = (0..=(seconds as u64 / step).min(100)).map(|number| number * step);
        ticks.map(|second| (self.x(second as f64 * 1_000.0), clock(second * 1_000))).collect()
    }

    /// The axis itself, below the last plot.
    pub(super) fn axis(&self) -> Markup {
        html! {
            svg.plot.axis viewBox={ "0 0 " (WIDTH) " 34" } role="img" aria-label="Minutes and seconds since the drill began" {
                line.rule x1=(LEFT) x2=(LEFT + INNER) y1="0.5" y2="0.5" {}
                @for (x, text) in self.ticks() {
                    line.rule x1=(round(x)) x2=(round(x)) y1="0" y2="5" {}
                    text.tick x=(round(x)) y="17" text-anchor="middle" { (text) }
                }
                text.tick x=(LEFT + INNER) y="31" text-anchor="end" { "minutes:seconds since the drill began" }
            }
        }
    }
}

/// With as many digits as can be seen.
pub(super) fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}
