use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose a checked thing is, which decides what its failure may do.
///
/// | scope | critical | startup | readiness | liveness | `/health` |
/// | --- | --- | --- | --- | --- | --- |
/// | [`Internal`](Scope::Internal) | yes | fails | fails | only with `restart_on_failure` | unhealthy |
/// | [`Exclusive`](Scope::Exclusive) | yes | reported | fails | never | unhealthy |
/// | [`Shared`](Scope::Shared) | yes | reported | fails until its first success, then only degrades | never | unhealthy |
/// | any | no | reported | degrades | never | degraded |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Our own insides: a worker loop, a cache that must be warm, our memory.
    Internal,
    /// A dependency that is ours alone: a sidecar, a local disk. Another replica is better off.
    Exclusive,
    /// A dependency that every replica uses: the database, the broker. Taking this replica out of the load balancer helps
    /// nobody, because the others are no better off.
    Shared,
}

/// Marks a [`Check`](crate::Check) of our own insides.
#[derive(Clone, Copy, Debug)]
pub enum Internal {}

/// Marks a [`Check`](crate::Check) of a dependency that is ours alone.
#[derive(Clone, Copy, Debug)]
pub enum Exclusive {}

/// Marks a [`Check`](crate::Check) of a dependency that every replica uses.
#[derive(Clone, Copy, Debug)]
pub enum Shared {}

// === impl Scope ===

impl Scope {
    /// As it is written on the wire: `internal`, `exclusive`, `shared`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Internal => "internal",
            Scope::Exclusive => "exclusive",
            Scope::Shared => "shared",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
