use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Display, Write};

use crate::panics;

/// How many errors are looked at one below the other, in case a source is its own.
const DEEPEST: usize = 64;

/// Nobody was asked: the call was turned away before it was made, by a breaker or by what sheds. So its outcome says nothing about
/// the one that it was meant for.
///
/// A response that stands for such a call has this among its extensions. An error has no such place, and its type may be hidden in others
/// that know nothing of this crate; so it says so [when it is displayed](NotAsked::say), as those others do with what they are
/// made from.
///
/// ```
/// use std::fmt;
/// use mainstay_core::NotAsked;
///
/// #[derive(Debug)]
/// struct Closed;
///
/// impl fmt::Display for Closed {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         NotAsked::say();
///         f.write_str("closed on Sundays")
///     }
/// }
///
/// impl std::error::Error for Closed {}
///
/// assert!(NotAsked::is_said_by(&Closed));
/// assert!(NotAsked::is_said_by(&std::io::Error::other(Closed)));
/// assert!(!NotAsked::is_said_by(&"closed on Sundays"));
/// ```
///
/// An error that shows several others is taken for any of them: the text "2 attempts: connection reset; closed on Sundays" says that nobody
/// was asked, although somebody was the first time. Only who knows the type of such an error can judge it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NotAsked;

thread_local! {
    /// Whether it was said, while somebody listens.
    static SAID: Cell<Option<bool>> = const { Cell::new(None) };
}

impl NotAsked {
    /// To be called by the [`Display`] of an error that stands for a call that was not made. Nothing but a look at a thread-local
    /// flag while nobody listens.
    pub fn say() {
        // Also at the end of a thread, when there is no flag any more.
        let _ = SAID.try_with(|said| said.set(said.get().map(|_| true)));
    }

    /// Whether an error says it of itself, or of another that it shows in its text. Its text goes nowhere. One that panics when it is
    /// displayed has not said it.
    pub fn is_said_by<E: Display + ?Sized>(error: &E) -> bool {
        let mut said = false;
        panics::contain(|| said = listen_to(error));
        said
    }

    /// Whether an error, or one of its sources, [says it](Self::is_said_by). It looks at 64 of them at most.
    pub fn is_in_chain(error: &(dyn Error + 'static)) -> bool {
        let mut said = false;
        panics::contain(|| {
            let mut chain = std::iter::successors(Some(error), |error| (*error).source()).take(DEEPEST);
            said = chain.any(Self::is_said_by);
        });
        said
    }
}

fn listen_to<E: Display + ?Sized>(error: &E) -> bool {
    let listening = Listening::new();
    // An error that ends its text early has said what it said.
    let _ = write!(Nowhere, "{error}");
    listening.heard()
}

/// While it lives, somebody listens on this thread. What was there before is there again after it, also when a text panics.
struct Listening {
    before: Option<bool>,
}

impl Listening {
    fn new() -> Self {
        Self { before: SAID.try_with(|said| said.replace(Some(false))).ok().flatten() }
    }

    fn heard(&self) -> bool {
        SAID.try_with(Cell::get).ok().flatten().unwrap_or_default()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = SAID.try_with(|said| said.set(self.before));
    }
}

/// Where texts go that nobody reads.
struct Nowhere;

impl Write for Nowhere {
    /// Always well: an error that writes into something else on the way may not bear a failure.
    fn write_str(&mut self, _: &str) -> fmt::Result {
        Ok(())
    }
}
