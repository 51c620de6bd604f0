//! `application/health+json`, as in draft-inadarei-api-health-check-06.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::endpoint::Aspect;
use super::view::View;
use crate::report::{millis, timestamp};
use crate::{CheckReport, Effect, Status};

/// The answer to one probe, with what is private or without.
pub(crate) struct Standard<'a>(pub(crate) &'a View<'a>, pub(crate) Aspect, pub(crate) bool);

struct Checks<'a>(&'a View<'a>, bool);

struct Entry<'a>(&'a CheckReport, bool);

fn status(view: &View<'_>, aspect: Aspect) -> &'static str {
    let warns = match aspect {
        Aspect::Live | Aspect::Started => false,
        Aspect::Ready => view.checks().any(|check| check.readiness == Effect::Degrades),
        Aspect::Overall => view.status() == Status::Degraded,
    };
    match view.passes(aspect) {
        false => "fail",
        true if warns => "warn",
        true => "pass",
    }
}

impl Serialize for Standard<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, aspect, private) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", status(view, aspect))?;
        map.serialize_entry("serviceId", &view.report.service)?;
        match view.line(aspect) {
            line if line == "ok" => {}
            line => map.serialize_entry("output", &line)?,
        }
        map.serialize_entry("checks", &Checks(view, private))?;
        map.end()
    }
}

/// Without those that are switched off, for which the format has no word.
impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, private) = *self;
        let checks = view.checks().filter(|check| check.enabled);
        serializer.collect_map(checks.map(|check| (check.name, [Entry(check, private)])))
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(check, private) = *self;
        let status = match (check.status, check.overall) {
            (Status::Healthy, _) => "pass",
            // Unknown is as bad as unhealthy where it gates.
            (Status::Unhealthy, _) | (Status::Unknown, Status::Unhealthy) => "fail",
            (Status::Degraded | Status::Unknown, _) => "warn",
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", status)?;
        let Some(last) = &check.last else { return map.end() };
        map.serialize_entry("time", &timestamp(last.at_wall))?;
        if let Some(latency) = last.latency {
            map.serialize_entry("observedValue", &millis(latency))?;
            map.serialize_entry("observedUnit", "ms")?;
        }
        let output = last.error.as_ref().map(|error| error.text()).or(last.message.as_deref());
        if let Some(output) = output.filter(|_| private && status != "pass") {
            map.serialize_entry("output", output)?;
        }
        map.end()
    }
}
