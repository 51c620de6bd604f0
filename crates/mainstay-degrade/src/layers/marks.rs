use std::time::Duration;

use http::Response;

use crate::Degraded;

/// All ways in which an HTTP response is less than a full one, in its extensions.
///
/// ```
/// use http::Response;
/// use mainstay_degrade::{Degraded, InExtensions, Mark, Marks};
///
/// let partial = InExtensions.mark(Response::new("half of it"), Degraded::Partial { completeness: 0.5 });
/// let response = InExtensions.mark(partial, Degraded::Fallback);
/// assert_eq!(response.extensions().get(), Some(&Degraded::Fallback));
/// let marks = Marks::of(&response);
/// assert!(marks.fallback);
/// assert_eq!(marks.completeness, Some(0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Marks {
    /// Another service answered than the one that was asked.
    pub fallback: bool,
    /// It was given before: how old it is. Of several marks, the greatest age.
    pub age: Option<Duration>,
    /// Not all parts are in it: the share that is, 0 to 1. Of several marks, the least.
    pub completeness: Option<f64>,
}

impl Marks {
    /// Those of a response. None of them for a full one.
    pub fn of<B>(response: &Response<B>) -> Self {
        let extensions = response.extensions();
        let marks = extensions.get::<Self>().copied().unwrap_or_default();
        // A handler may have put it there by itself.
        extensions.get::<Degraded>().map_or(marks, |degraded| marks.and(*degraded))
    }

    /// These and one more.
    #[must_use]
    pub fn and(mut self, degraded: Degraded) -> Self {
        match degraded {
            Degraded::Fallback => self.fallback = true,
            Degraded::Stale { age } => self.age = Some(self.age.map_or(age, |other| other.max(age))),
            Degraded::Partial { completeness } => {
                let least = self.completeness.map_or(completeness, |other| other.min(completeness));
                self.completeness = Some(least);
            }
        }
        self
    }

    /// Each way that is among them: another service first, then age, then completeness.
    pub fn ways(self) -> impl Iterator<Item = Degraded> {
        let stale = self.age.map(|age| Degraded::Stale { age });
        let partial = self.completeness.map(|completeness| Degraded::Partial { completeness });
        self.fallback.then_some(Degraded::Fallback).into_iter().chain(stale).chain(partial)
    }
}
