use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::endpoint::Aspect;
use super::view::View;
use crate::report::{millis, timestamp};
use crate::{CheckReport, Status};

/// Of `/health`.
pub(crate) struct Overall<'a>(pub(crate) &'a View<'a>);

/// Of `/health/ready`.
pub(crate) struct Readiness<'a>(pub(crate) &'a View<'a>);

/// Of `/health/live`.
pub(crate) struct Liveness<'a>(pub(crate) &'a View<'a>);

/// Of `/health/detailed`, with what is private or without.
pub(crate) struct Detailed<'a>(pub(crate) &'a View<'a>, pub(crate) bool);

struct Components<'a>(&'a View<'a>, bool);

struct Component<'a>(&'a CheckReport, bool);

impl Serialize for Overall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = self.0;
        let status = view.status();
        let message = match status {
            Status::Healthy => "all checks pass".to_owned(),
            _ => view.line(Aspect::Overall),
        };
        let latencies = view.checks().filter(|check| check.enabled).filter_map(CheckReport::latency);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &status)?;
        map.serialize_entry("message", &message)?;
        map.serialize_entry("timestamp", &timestamp(view.report.at_wall))?;
        map.serialize_entry("duration", &millis(latencies.max().unwrap_or_default()))?;
        map.serialize_entry("degraded", &(status == Status::Degraded))?;
        map.serialize_entry("ready", &view.is_ready())?;
        map.serialize_entry("live", &view.is_live())?;
        map.end()
    }
}

impl Serialize for Readiness<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ready = self.0.is_ready();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", if ready { "ready" } else { "not ready" })?;
        map.serialize_entry("ready", &ready)?;
        map.serialize_entry("timestamp", &timestamp(self.0.report.at_wall))?;
        map.end()
    }
}

impl Serialize for Liveness<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let live = self.0.is_live();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", if live { "alive" } else { "not alive" })?;
        map.serialize_entry("live", &live)?;
        map.serialize_entry("timestamp", &timestamp(self.0.report.at_wall))?;
        map.end()
    }
}

impl Serialize for Detailed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, private) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("overall", &Overall(view))?;
        map.serialize_entry("components", &Components(view, private))?;
        map.serialize_entry("summary", &view.report.summary())?;
        map.serialize_entry("timestamp", &timestamp(view.report.at_wall))?;
        map.end()
    }
}

impl Serialize for Components<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(view, private) = *self;
        serializer.collect_map(view.checks().map(|check| (check.name, Component(check, private))))
    }
}

impl Serialize for Component<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(check, private) = *self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("component", &check.name)?;
        map.serialize_entry("status", &check.status)?;
        map.serialize_entry("reason", &check.reason)?;
        map.serialize_entry("critical", &check.critical)?;
        map.serialize_entry("scope", &check.scope)?;
        map.serialize_entry("readiness", &check.readiness)?;
        map.serialize_entry("since", &timestamp(check.since_wall))?;
        if let Some(blocker) = check.blocked_by {
            map.serialize_entry("blocked_by", &blocker)?;
        }
        let Some(last) = &check.last else { return map.end() };
        map.serialize_entry("timestamp", &timestamp(last.at_wall))?;
        if let Some(latency) = last.latency {
            map.serialize_entry("duration", &millis(latency))?;
        }
        if let Some(error) = &last.error {
            map.serialize_entry("error_class", &error.class())?;
        }
        if private {
            if let Some(message) = &last.message {
                map.serialize_entry("message", &**message)?;
            }
            if let Some(error) = &last.error {
                map.serialize_entry("error", error.text())?;
            }
            if !last.details.is_empty() {
                map.serialize_entry("details", &last.details)?;
            }
        }
        map.end()
    }
}
