use std::fmt;
use std::time::Duration;

/// In what way an answer is less than a full one.
///
/// The layers put it on every such answer: into the extensions of an HTTP response ([`InExtensions`](crate::InExtensions)), or wherever
/// your own [`Mark`] does. Handlers may put it there themselves. Of an answer that is degraded in several ways, as a partial one of a fallback,
/// it is the way that was marked last; `Marks` has them all.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Degraded {
    /// Another service answered than the one that was asked.
    Fallback,
    /// It was given before.
    Stale {
        /// How old it is, from when it was asked for.
        age: Duration,
    },
    /// Not all parts are in it.
    Partial {
        /// The share that is: 0 to 1.
        completeness: f64,
    },
}

/// Says on an answer that it is degraded. Every `Fn(Response, Degraded) -> Response` does, and
/// [`InExtensions`](crate::InExtensions) for HTTP.
pub trait Mark<T> {
    /// Marks it.
    fn mark(&self, response: T, degraded: Degraded) -> T;
}

/// Marks HTTP responses in their extensions. What was marked there before stays among their [`Marks`](crate::Marks).
#[cfg(feature = "http")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InExtensions;

impl Degraded {
    /// As it is written on the wire: `fallback`, `stale`, `partial`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Degraded::Fallback => "fallback",
            Degraded::Stale { .. } => "stale",
            Degraded::Partial { .. } => "partial",
        }
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<F, T> Mark<T> for F
where
    F: Fn(T, Degraded) -> T,
{
    fn mark(&self, response: T, degraded: Degraded) -> T {
        self(response, degraded)
    }
}

#[cfg(feature = "http")]
impl<B> Mark<http::Response<B>> for InExtensions {
    fn mark(&self, mut response: http::Response<B>, degraded: Degraded) -> http::Response<B> {
        let marks = crate::Marks::of(&response).and(degraded);
        response.extensions_mut().insert(marks);
        response.extensions_mut().insert(degraded);
        response
    }
}
