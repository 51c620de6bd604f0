//! What a rule's window holds beside the plain successes, which are counted elsewhere (see `books`).

use crate::Window;
use crate::window::{Marks, Slices};

/// The failures and slow calls in a rule's window.
pub(crate) enum Ledger {
    None,
    Calls {
        /// The position in the epoch's sequence of verdicts at which the window began to fill.
        base: u64,
        failures: Marks,
        slow: Marks,
    },
    Time {
        failures: Slices,
        slow: Slices,
    },
}

impl Ledger {
    /// An empty one, from a position of the epoch on.
    pub(crate) fn new(window: Option<Window>, base: u64) -> Self {
        match window {
            None => Self::None,
            Some(Window::Calls(n)) => {
                Self::Calls { base, failures: Marks::new(n, base), slow: Marks::new(n, base) }
            }
            Some(Window::Time(_)) => Self::Time { failures: Slices::new(), slow: Slices::new() },
        }
    }

    /// A new epoch begins.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::None => {}
            Self::Calls { base, failures, slow } => {
                *base = 0;
                failures.clear(0);
                slow.clear(0);
            }
            Self::Time { failures, slow } => {
                failures.clear();
                slow.clear();
            }
        }
    }

    /// For a rule with the same window; without the slow marks if they mean something else there.
    pub(crate) fn inherited(&self, same_limit: bool) -> Self {
        match self {
            Self::None => Self::None,
            Self::Calls { base, failures, slow } => {
                let mut slow = slow.clone();
                if !same_limit {
                    slow.clear(0);
                }
                Self::Calls { base: *base, failures: failures.clone(), slow }
            }
            Self::Time { failures, slow } => {
                let slow = if same_limit { slow.clone() } else { Slices::new() };
                Self::Time { failures: failures.clone(), slow }
            }
        }
    }
}
