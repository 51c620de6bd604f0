//! Wall times in RFC 3339, in UTC: `2026-03-01T12:00:00.250000000Z`.

use std::time::{Duration, SystemTime};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// The format has the years 1970 to 9999; times outside of them, which only a broken clock tells, are written as the nearest of these.
const LAST: Duration = Duration::from_secs(253_402_300_799);

pub(super) fn serialize<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    serializer.collect_str(&humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}
