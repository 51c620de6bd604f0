use std::collections::BTreeMap;

use mainstay_core::Name;

use crate::breakers::Breakers;
use crate::{BreakerSettings, DegradationSettings, HealthSettings};

/// Everything that the file and the variables say, checked, with the defaults where they say nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The breakers that are named.
    pub breakers: BTreeMap<Name, BreakerSettings>,
    /// Health.
    pub health: HealthSettings,
    /// Degradation and partial results.
    pub degradation: DegradationSettings,
    rows: BTreeMap<&'static str, BreakerSettings>,
    other: BreakerSettings,
}

impl Settings {
    pub(crate) fn new(breakers: Breakers, health: HealthSettings, degradation: DegradationSettings) -> Self {
        let Breakers { named, rows, other } = breakers;
        Self { breakers: named, health, degradation, rows, other }
    }

    /// What a breaker gets, also one that is not named: then what its name starts from, and what `default` says.
    ///
    /// `redis`, `database`, `grpc`, `grpc_conn`, `http` and `agent_core` start from the defaults of their variables.
    pub fn breaker(&self, name: &str) -> &BreakerSettings {
        self.breakers.get(name).or_else(|| self.rows.get(name)).unwrap_or(&self.other)
    }

    /// The JSON Schema (2020-12) of the file, for editors that complete and check it.
    pub fn schema() -> serde_json::Value {
        crate::schema::schema()
    }

    /// Every key of the file as a table in Markdown: key, variable, what it takes, default, meaning.
    pub fn table() -> String {
        crate::schema::table()
    }
}
