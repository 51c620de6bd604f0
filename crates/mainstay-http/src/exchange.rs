use http::{Extensions, HeaderMap, Response, StatusCode};
use http_body::Body;
use mainstay_breaker::{CallPermit, Classified, Clock, Conclude, Rejected, Verdict};

use crate::head::Side;
use crate::tail::Tail;
use crate::{GuardedBody, Head, JudgeError, JudgeHead, Usual};

/// Judges HTTP exchanges from the head of the response to the end of its body: what [`HttpLayer`](crate::HttpLayer)
/// gives the breaker to conclude calls with.
///
/// - An error is judged by `F`; see [`JudgeError`].
/// - A head is judged by `J`; see [`JudgeHead`]. The answer of another breaker that rejected the call is ignored. If it fails, or if there is no body, that is the verdict.
/// - Otherwise the head counts as the answer: it frees the probe's slot, and it ends the time that makes a call slow.
///   The verdict follows with the body: see [`GuardedBody`].
///
/// The response is passed on in every case.
#[derive(Clone, Debug)]
pub struct Exchanges<J = Usual, F = Usual> {
    clock: Clock,
    side: Side,
    heads: J,
    errors: F,
}

impl Exchanges {
    /// Of a client. The clock, usually the breaker's own, tells the wall time that dates of `Retry-After` are counted
    /// from.
    pub fn of_client(clock: &Clock) -> Self {
        Self { clock: clock.clone(), side: Side::Client, heads: Usual, errors: Usual }
    }

    /// Of a server, on which every 429 is ignored.
    pub fn of_server(clock: &Clock) -> Self {
        Self { side: Side::Server, ..Self::of_client(clock) }
    }
}

impl<J, F> Exchanges<J, F> {
    /// Who judges heads. Default: [`Head::usual`]. It is cloned for every call, so put what is large behind an `Arc`.
    pub fn judge<K>(self, heads: K) -> Exchanges<K, F> {
        let Self { clock, side, errors, .. } = self;
        Exchanges { clock, side, heads, errors }
    }

    /// Who judges errors. Default: [`Usual`]. It is cloned for every call.
    pub fn judge_errors<G>(self, errors: G) -> Exchanges<J, G> {
        let Self { clock, side, heads, .. } = self;
        Exchanges { clock, side, heads, errors }
    }

    pub(crate) fn error<E>(&self, error: &E) -> Classified
    where
        F: JudgeError<E>,
    {
        self.errors.judge(error)
    }

    pub(crate) fn head(&self, status: StatusCode, headers: &HeaderMap, extensions: &Extensions) -> Classified
    where
        J: JudgeHead,
    {
        // Another breaker's rejection: nobody was asked, and it has counted what it knows.
        if extensions.get::<Rejected>().is_some() {
            return Classified::ignore();
        }
        self.heads.judge(&Head::new(status, headers, extensions, &self.clock, self.side))
    }
}

impl<B, E, J, F> Conclude<Response<B>, E> for Exchanges<J, F>
where
    B: Body,
    J: JudgeHead,
    F: JudgeError<E>,
{
    type Response = Response<GuardedBody<B>>;

    fn conclude<P: CallPermit>(
        &self,
        result: Result<Response<B>, E>,
        permit: &mut P,
    ) -> Result<Self::Response, E> {
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                permit.record(self.error(&error));
                return Err(error);
            }
        };
        let head = self.head(response.status(), response.headers(), response.extensions());
        let tail = if head.verdict() == Verdict::Failure || response.body().is_end_stream() {
            permit.record(head);
            Tail::none()
        } else {
            Tail::after(head, permit.keep())
        };
        Ok(response.map(|body| GuardedBody::new(body, tail)))
    }
}
