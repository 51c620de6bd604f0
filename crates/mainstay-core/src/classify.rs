use crate::Classified;

/// Decides what a result says about the dependency.
///
/// Every closure over `&Result<T, E>` that returns a [`Verdict`](crate::Verdict) or a [`Classified`] is one:
///
/// ```
/// use mainstay_core::{Classified, Classify, Verdict};
///
/// let not_found_is_fine = |result: &Result<(), &str>| match result {
///     Err("not found") => Verdict::Success,
///     Err(_) => Verdict::Failure,
///     Ok(()) => Verdict::Success,
/// };
/// assert_eq!(not_found_is_fine.classify(&Err("not found")), Classified::success());
/// ```
///
/// A classifier that panics counts as a failure of the call, and the panic goes on.
pub trait Classify<T, E> {
    /// The verdict on one result.
    fn classify(&self, result: &Result<T, E>) -> Classified;
}

impl<F, C, T, E> Classify<T, E> for F
where
    F: Fn(&Result<T, E>) -> C,
    C: Into<Classified>,
{
    fn classify(&self, result: &Result<T, E>) -> Classified {
        self(result).into()
    }
}

/// The classifier used when none is given: `Ok` is a success, `Err` a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorsAreFailures;

impl<T, E> Classify<T, E> for ErrorsAreFailures {
    fn classify(&self, result: &Result<T, E>) -> Classified {
        match result {
            Ok(_) => Classified::success(),
            Err(_) => Classified::failure(),
        }
    }
}
