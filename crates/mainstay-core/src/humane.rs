//! Durations in settings files: `250ms`, `30s`, `5m`, `1h30m`.
//!
//! Use with `#[serde(with = "mainstay_core::humane")]`, or `mainstay_core::humane::option` for an
//! `Option<Duration>`. A bare number is refused, because nobody can tell its unit.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes a duration the way a person would.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

/// Reads a duration as a person writes it.
///
/// # Errors
///
/// What was found and what was expected, if it is not a duration with units.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    struct Humane;

    impl Visitor<'_> for Humane {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration with a unit, such as \"250ms\", \"30s\" or \"1h30m\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
            humantime::parse_duration(text).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_str(Humane)
}

/// A duration the way a person would write it: `1h30m`.
pub fn format(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// The same for an `Option<Duration>`.
pub mod option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Humane(#[serde(with = "super")] Duration);

    /// Writes a duration, or nothing.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(Humane).serialize(serializer)
    }

    /// Reads a duration, or nothing.
    ///
    /// # Errors
    ///
    /// As for a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Humane>::deserialize(deserializer)?.map(|Humane(duration)| duration))
    }
}
