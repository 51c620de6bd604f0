use std::time::{Duration, SystemTime};

use http::{Extensions, HeaderMap, StatusCode};
use mainstay_breaker::{Classified, Clock};

use crate::retry_after;

/// The head of a response, to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    clock: &'a Clock,
    side: Side,
}

/// Where the layer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl<'a> Head<'a> {
    pub(crate) fn new(
        status: StatusCode,
        headers: &'a HeaderMap,
        extensions: &'a Extensions,
        clock: &'a Clock,
        side: Side,
    ) -> Self {
        Self { status, headers, extensions, clock, side }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Its extensions: marks that a handler, or a layer below, has left on the response.
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// How long it asks to be left alone; see [`retry_after::asked`]. Dates are counted from the wall time of the
    /// breaker's clock.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::asked(self.headers, || self.wall())
    }

    /// What it says unless somebody knows better:
    ///
    /// | status | verdict |
    /// | --- | --- |
    /// | 429 with a valid `Retry-After` | failure, with the wait |
    /// | 429 without | ignored |
    /// | 503 with a valid `Retry-After` | failure, with the wait |
    /// | every other 5xx, and from 600 up | failure |
    /// | everything else | success |
    ///
    /// On the server side every 429 is ignored: a limit for one caller says nothing about the service, and must not
    /// close it to the others.
    pub fn usual(&self) -> Classified {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS if self.side == Side::Server => Classified::ignore(),
            StatusCode::TOO_MANY_REQUESTS => match self.retry_after() {
                Some(wait) => Classified::failure().retry_after(wait),
                None => Classified::ignore(),
            },
            StatusCode::SERVICE_UNAVAILABLE => match self.retry_after() {
                Some(wait) => Classified::failure().retry_after(wait),
                None => Classified::failure(),
            },
            status if status.as_u16() >= 500 => Classified::failure(),
            _ => Classified::success(),
        }
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall(self.clock.now())
    }
}
