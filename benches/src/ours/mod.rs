//! Mainstay's breaker: every rule, both kinds of handle, by permit and by call.

mod half_open;
mod layer;
mod sync;

use std::time::Duration;

use mainstay_breaker::{Breaker, BreakerBuilder, OpenFor, Trip, Window};

use crate::catalog::Visitor;
use crate::id::{Face, Id, Path, Who};

/// Hands over ours.
pub fn visit(visitor: &mut impl Visitor) {
    sync::visit(visitor);
    layer::visit(visitor);
    half_open::visit(visitor);
}

/// What ours was given, for the reader of the figures.
pub const SETTINGS: &str = "`consecutive`: 5 in a row. `count window`: failure rate 0.5 over 100 calls, at least 20. \
    `time window`: failure rate 0.5 over 30 s, at least 20. `default`: its own defaults, 5 in a row or 0.5 over 30 s. \
    `slow`: slow rate 0.5 by 1 s over 100 calls, at least 20.";

/// What makes a breaker open, by the name it has in the report.
type Rule = (&'static str, fn(BreakerBuilder) -> BreakerBuilder);

const CONSECUTIVE: Rule = ("consecutive", |builder| builder.trip(Trip::consecutive_failures(5)));
const COUNT: Rule = ("count window", |builder| builder.trip(rate().over(Window::calls(100))));
const TIME: Rule =
    ("time window", |builder| builder.trip(rate().over(Window::time(Duration::from_secs(30)))));
const DEFAULT: Rule = ("default", |builder| builder);
const SLOW: Rule = ("slow", |builder| {
    builder.trip(Trip::slow_rate(0.5, Duration::from_secs(1)).over(Window::calls(100)).min_calls(20))
});

fn rate() -> Trip {
    Trip::failure_rate(0.5).min_calls(20)
}

fn id(face: Face, path: Path, rule: Rule, how: &'static str) -> Id {
    Id::new(face, path, Who::Mainstay, rule.0).by(how)
}

#[allow(clippy::expect_used, reason = "settings in this crate that are refused are a mistake in this crate")]
fn built(builder: BreakerBuilder) -> Breaker {
    builder.build().expect("settings that are in range")
}

fn arc(rule: Rule) -> Breaker {
    built(rule.1(Breaker::builder("bench")).open_for(OpenFor::fixed(Duration::from_secs(3600))))
}

fn leaked(rule: Rule) -> Breaker {
    arc(rule).leak()
}

/// Opened by hand, for an hour.
fn open(breaker: Breaker) -> Breaker {
    breaker.trip();
    breaker
}
