use std::fmt;

use crate::node::Node;
use crate::visible::Visible;
use crate::{Origin, path};

/// What is no mistake, and perhaps not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Where it stands.
    pub origin: Origin,
    /// The path of what it is about, such as `health.checks.redis`.
    pub path: String,
    /// What it is, and what would be clear.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, Visible(&self.path), Visible(&self.text))
    }
}

/// Critical checks that do not say whose the checked thing is, and so behave as the original's did.
pub(crate) fn warnings(effective: &Node) -> Vec<Warning> {
    let checks = effective.at("health.checks").map_or(&[][..], Node::entries);
    let bare = checks.iter().filter(|check| check.node.get("scope").is_none());
    let critical = bare.filter_map(|check| {
        let critical = check.node.get("critical").filter(|node| node.as_bool() == Some(true))?;
        Some(Warning {
            origin: critical.origin.clone(),
            path: path::join("health.checks", &check.key),
            text: "critical without a `scope`; if every replica uses it, say `scope: shared`".to_owned(),
        })
    });
    critical.collect()
}
