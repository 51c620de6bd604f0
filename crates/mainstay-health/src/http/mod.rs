//! The probes over HTTP.

/// What is served of a report, made once for each report, when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Pages {}
