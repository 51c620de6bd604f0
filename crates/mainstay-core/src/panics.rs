//! What is the user's may panic: when it runs, when it is dropped, and even what it panicked with when that is dropped.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs something whose panic shall hurt nobody.
pub fn contain(run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run))
        && let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // Whatever panics on every drop is left where it is.
        std::mem::forget(again);
    }
}

/// What a panic said.
pub fn text(panic: Box<dyn Any + Send>) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    contain(|| drop(panic));
    text
}
