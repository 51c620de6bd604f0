//! Every key of the file.

mod breakers;
mod degradation;
mod health;

use crate::shape::{Key, Shape, Table};

pub(crate) use breakers::{BREAKER, SEED_WORDS};
use degradation::DEGRADATION;
pub(crate) use degradation::MODES;
pub(crate) use health::CHECK;
use health::HEALTH;

pub(crate) static ROOT: Table = Table {
    keys: &[
        Key::new(
            "circuit_breakers",
            Shape::Names { of: &Shape::Map(&BREAKER), default: true },
            "",
            "The breakers by their names. `default` is what the others inherit from.",
        ),
        Key::new("health", Shape::Map(&HEALTH), "", "The health manager and its checks."),
        Key::new("degradation", Shape::Map(&DEGRADATION), "", "Levels, and what they lead to."),
    ],
    instead: &[],
};
