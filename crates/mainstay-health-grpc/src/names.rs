use std::collections::BTreeMap;

use mainstay_health::{HealthManager, Name, Report};

use crate::Serves;
use crate::serves::{Standing, checks};

/// Which names there are, and what they stand for.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    given: BTreeMap<String, Serves>,
    checks: bool,
}

/// What a name that somebody asked for stands for. It keeps no name that can never be one.
#[derive(Debug)]
pub(crate) enum Target {
    Given(Serves),
    /// The check of this name, if there is one at the time.
    Check(Box<str>),
    Nothing,
}

impl Names {
    pub(crate) fn give(&mut self, name: String, serves: Serves) {
        self.given.insert(name, serves);
    }

    pub(crate) fn show_checks(&mut self, show: bool) {
        self.checks = show;
    }

    pub(crate) fn find(&self, name: &str) -> Target {
        match self.given.get(name) {
            Some(serves) => Target::Given(serves.clone()),
            None if self.checks && (1..=Name::MAX_LEN).contains(&name.len()) => Target::Check(name.into()),
            None => Target::Nothing,
        }
    }

    /// All names that there are now.
    pub(crate) fn all(&self, report: &Report) -> impl Iterator<Item = (String, Target)> {
        let given = self.given.iter().map(|(name, serves)| (name.clone(), Target::Given(serves.clone())));
        let checks = report.checks().filter(|_| self.checks).map(|check| check.name.as_str());
        let checks = checks.filter(|name| !self.given.contains_key(*name));
        given.chain(checks.map(|name| (name.to_owned(), Target::Check(name.into()))))
    }
}

impl Default for Names {
    fn default() -> Self {
        let given = [
            ("", Serves::Readiness),
            ("readiness", Serves::Readiness),
            ("liveness", Serves::Liveness),
            ("startup", Serves::Startup),
        ];
        Self {
            given: given.into_iter().map(|(name, serves)| (name.to_owned(), serves)).collect(),
            checks: true,
        }
    }
}

impl Target {
    /// Whether a drain ends it.
    pub(crate) fn drains(&self) -> bool {
        match self {
            Target::Given(serves) => serves.drains(),
            Target::Check(_) | Target::Nothing => true,
        }
    }

    pub(crate) fn standing(&self, health: &HealthManager, report: &Report) -> Standing {
        match self {
            Target::Given(serves) => serves.standing(health, report),
            Target::Check(name) if report.check(name).is_some() => {
                checks(std::iter::once(&**name), health, report)
            }
            Target::Check(_) | Target::Nothing => Standing::UNKNOWN,
        }
    }
}
