use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::{Event, EventListener, IntoNotification};

/// Where services wait that are not ready while their breaker is open.
///
/// Time alone wakes nobody, so one of those who wait, the *leader*, sets a timer and delivers what is due; the others
/// are woken by what follows from it: as many as there are slots when probing begins, one more for each slot given
/// back, all when it closes or is released. Whoever is woken and goes away passes the wake on.
pub(crate) struct Gate {
    event: Event,
    led: AtomicBool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { event: Event::new(), led: AtomicBool::new(false) }
    }

    /// Wakes at least `waiters` of those who wait, and `more` beyond those that are awake already.
    pub(crate) fn open(&self, waiters: usize, more: usize) {
        if waiters > 0 {
            self.event.notify(waiters);
        }
        if more > 0 && waiters < usize::MAX {
            self.event.notify(more.additional());
        }
    }

    #[cfg_attr(not(feature = "tower"), allow(dead_code))]
    pub(crate) fn wait(&self) -> EventListener {
        self.event.listen()
    }

    /// Whether the caller leads from now on; if so it must [`resign`](Self::resign).
    #[cfg_attr(not(feature = "tower"), allow(dead_code))]
    pub(crate) fn lead(&self) -> bool {
        !self.led.swap(true, Ordering::AcqRel)
    }

    /// The leader goes; somebody else must look whether to lead.
    #[cfg_attr(not(feature = "tower"), allow(dead_code))]
    pub(crate) fn resign(&self) {
        self.led.store(false, Ordering::Release);
        self.event.notify(1.additional());
    }
}
