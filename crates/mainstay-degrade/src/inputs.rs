use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::{Name, StateSource, Weight};

use crate::Signal;
use crate::judge::SignalFigure;
use crate::signal::Peak;

/// A signal, its name, and what it was between two looks.
pub(crate) struct Listened {
    pub(crate) name: Name,
    pub(crate) signal: Signal,
    pub(crate) peak: Arc<Peak>,
}

/// A source, and what it named last.
pub(crate) struct Watched {
    pub(crate) source: Arc<dyn StateSource>,
    named: Mutex<Vec<(Name, Weight)>>,
}

impl Listened {
    pub(crate) fn new((name, signal): (Name, Signal)) -> Self {
        let peak = signal.peak();
        Self { name, signal, peak }
    }

    pub(crate) fn figure(&self) -> SignalFigure {
        self.signal.figure(self.name)
    }
}

impl Watched {
    pub(crate) fn new(source: Arc<dyn StateSource>) -> Self {
        Self { source, named: Mutex::default() }
    }

    /// What the source says is down. One that panics has said nothing new.
    pub(crate) fn look(&self) -> Vec<(Name, Weight)> {
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let mut named = Vec::new();
            self.source.poll();
            self.source.down(&mut |name, weight| named.push((name, weight)));
            named
        }));
        let mut last = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(named) = asked {
            last.clone_from(&named);
        }
        last.clone()
    }
}
