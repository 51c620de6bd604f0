use std::sync::atomic::{AtomicBool, Ordering};

use event_listener::{Event, EventListener, IntoNotification};

/// Where services wait that are not ready while their breaker is open.
///
/// Time alone wakes nobody, so one of those who wait, the *leader*, sets a timer and delivers what is due. The others
/// are woken by what follows from it: as many as there are slots when probing begins (the leader being one of
/// them), one more for each slot given back, all when it closes or is released. Whoever is woken and goes away
/// passes the wake on; a leader that goes makes another waiter the leader.
pub(crate) struct Gate {
    event: Event<Wake>,
    led: AtomicBool,
    /// The leader is awake and about to go through, so it takes one of the places that are given out next.
    leader_goes: AtomicBool,
}

/// Why a waiter was woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// It may be admitted now.
    Go,
    /// There is no leader any more; it may still not be admitted.
    Lead,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { event: Event::with_tag(), led: AtomicBool::new(false), leader_goes: AtomicBool::new(false) }
    }

    /// Wakes at least `waiters` of those who wait, and `more` beyond those that are awake already.
    pub(crate) fn open(&self, waiters: usize, more: usize) {
        if waiters > 0 {
            let leader = usize::from(self.leader_goes.swap(false, Ordering::AcqRel));
            self.event.notify((waiters - leader).tag(Wake::Go));
        }
        if more > 0 && waiters < usize::MAX {
            self.event.notify(more.additional().tag(Wake::Go));
        }
    }

    pub(crate) fn wait(&self) -> EventListener<Wake> {
        self.event.listen()
    }

    /// Whether the caller leads from now on; if so it must [`resign`](Self::resign).
    pub(crate) fn lead(&self) -> bool {
        !self.led.swap(true, Ordering::AcqRel)
    }

    /// The leader's timer has rung, and it is about to deliver what is due.
    pub(crate) fn leader_goes(&self, goes: bool) {
        self.leader_goes.store(goes, Ordering::Release);
    }

    /// The leader goes; somebody else must lead.
    pub(crate) fn resign(&self) {
        self.led.store(false, Ordering::Release);
        self.event.notify(1.additional().tag(Wake::Lead));
    }
}
