//! The names of what is measured.

use std::fmt;

/// One line of the report: which call, on which path, guarded by whom and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id {
    /// Blocking or tower.
    pub face: Face,
    /// What the breaker does in this call.
    pub path: Path,
    /// Who guards it.
    pub who: Who,
    /// By which rule it is judged.
    pub rule: &'static str,
    /// By which method and through which kind of handle, where there is a choice.
    pub how: &'static str,
}

/// How a call is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A blocking call.
    Sync,
    /// A call through a tower service.
    Layer,
}

/// What a breaker does in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Closed, and all calls succeed.
    Closed,
    /// Closed, and one call of a hundred fails.
    OnePercent,
    /// Closed, and three calls of ten fail.
    ThirtyPercent,
    /// Open: the call is rejected.
    Open,
    /// Half-open for ever: the call is a probe.
    HalfOpen,
    /// A whole period: a failure opens, time passes, a probe closes.
    Period,
    /// Closed, through a clone made for this call and dropped after it.
    Cloned,
    /// Closed, one breaker of a million, found by its key.
    Keyed,
}

/// Who guards the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Nobody: the bare closure or service.
    Bare,
    /// The least a breaker could do.
    Floor,
    /// Ours.
    Mainstay,
    /// A peer, by the name of its crate.
    Peer(&'static str),
}

impl Id {
    /// Names a subject.
    pub const fn new(face: Face, path: Path, who: Who, rule: &'static str) -> Self {
        Self { face, path, who, rule, how: "" }
    }

    /// The same, by a certain method or handle.
    pub const fn by(self, how: &'static str) -> Self {
        Self { how, ..self }
    }

    /// One word that names this subject on a command line.
    pub fn key(&self) -> String {
        let mut key = format!("{}/{}/{}/{}", self.face, self.path, self.who, self.rule);
        if !self.how.is_empty() {
            key = key + "/" + self.how;
        }
        key.replace(", ", "-").replace(' ', "-")
    }
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sync => "sync",
            Self::Layer => "layer",
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::OnePercent => "1%-failures",
            Self::ThirtyPercent => "30%-failures",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::Period => "period",
            Self::Cloned => "cloned",
            Self::Keyed => "keyed",
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Floor => "floor",
            Self::Mainstay => "mainstay",
            Self::Peer(name) => name,
        })
    }
}
