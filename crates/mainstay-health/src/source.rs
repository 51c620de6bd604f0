use std::time::Duration;

use mainstay_core::{Clock, Condition, Name, StateSource, Watch, Weight};

use crate::{HealthManager, Status};

/// A manager is a source that knows of several dependencies: it is down while the whole is unhealthy, recovering while it is
/// unknown, else up; and it names each check that is down by itself, critical or not. What another check blocks is not named:
/// of a failure and what it blocks, the failure alone counts.
impl StateSource for HealthManager {
    fn name(&self) -> Name {
        self.report().service()
    }

    fn condition(&self) -> Condition {
        match self.report().status() {
            Status::Healthy | Status::Degraded => Condition::Up,
            Status::Unhealthy => Condition::Down,
            Status::Unknown => Condition::Recovering,
        }
    }

    fn next_change(&self) -> Option<Duration> {
        Some(self.report().changes_at).filter(|at| *at != Duration::MAX)
    }

    fn watch(&self) -> Watch {
        self.board().changes().watch()
    }

    fn poll(&self) {
        self.report();
    }

    fn clock(&self) -> Clock {
        HealthManager::clock(self).clone()
    }

    fn down(&self, name: &mut dyn FnMut(Name, Weight)) {
        for check in self.report().checks().filter(|check| check.enabled && check.is_down()) {
            name(check.name, if check.critical { Weight::Critical } else { Weight::NonCritical });
        }
    }
}
