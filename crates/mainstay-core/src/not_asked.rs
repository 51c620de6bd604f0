use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Display, Write};

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

    /// Whether an error says it of itself, or of another that it shows in its text. Its text goes nowhere.
    pub fn is_said_by<E: Display + ?Sized>(error: &E) -> bool {
        let listening = Listening::new();
        // An error that ends the text early, as `Nowhere` does, is none.
        let _ = write!(Nowhere, "{error}");
        listening.heard()
    }

    /// Whether an error, or one of its sources, [says it](Self::is_said_by).
    pub fn is_in_chain(error: &(dyn Error + 'static)) -> bool {
        std::iter::successors(Some(error), |error| (*error).source()).any(Self::is_said_by)
    }
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

/// Where texts go that nobody reads. It takes no more once it is said.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> fmt::Result {
        let said = SAID.try_with(Cell::get).ok().flatten().unwrap_or_default();
        if said { Err(fmt::Error) } else { Ok(()) }
    }
}
