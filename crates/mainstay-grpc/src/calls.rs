use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use mainstay_breaker::{CallPermit, Classified, Conclude, Rejected, Verdict};
use tonic::Code;

use crate::fault::Fault;
use crate::refuse::TurnedAway;
use crate::{Codes, GuardedBody, status};

/// Takes the verdict on gRPC calls: from `grpc-status`, wherever it comes, or from the transport.
///
/// A [`GrpcLayer`](crate::GrpcLayer) has it inside; a [`BreakerLayer`](mainstay_breaker::BreakerLayer) takes it in
/// [`conclude_with`](mainstay_breaker::BreakerLayer::conclude_with).
///
/// | how the call ends | verdict |
/// | --- | --- |
/// | `grpc-status` in the headers (an answer of trailers only) | by [`Codes`], at once |
/// | `grpc-status` in the trailers | by [`Codes`], then |
/// | the body ends, or is over from the start, without `grpc-status` | failure |
/// | without `grpc-status`: another HTTP status than 200, or another content type than gRPC's | by [`Codes`], at once, as the protocol translates it |
/// | the body breaks off, the stream or connection is reset | failure |
/// | no response: refused, unreachable, reset, closed, time-out | failure |
/// | no response, because the endpoint's address is invalid or the request could not be encoded | ignored |
/// | no response, because another breaker rejected the call | ignored |
/// | dropped or cancelled by the caller after the first message | success |
/// | dropped or cancelled by the caller before it | as for any dropped permit: ignored |
///
/// Where a code says too little, a [`Judge`] may look at the metadata that came with it, before [`Codes`].
///
/// A failing status with `grpc-retry-pushback-ms` keeps the breaker open for at least that long, up to its
/// `retry_after_cap`; a negative number there says nothing.
///
/// The call is *answered* by its first message: that frees a half-open breaker's slot and counts for its closing, and ends
/// what makes a call slow. What is looked for is the first byte of the body, which is some byte of the first message; the
/// message itself may need more frames to be whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    pub(crate) codes: Codes,
    pub(crate) max_silence: Option<Duration>,
    judge: Option<Judge>,
    /// These are the answers of this side.
    own: bool,
}

/// The verdict on a status that is not `OK`, by its code and the metadata that came with it (in the headers or in the trailers,
/// wherever the status is); none leaves it to [`Codes`]. A plain function, so that the layer stays small.
///
/// Servers that mean several things by one code can say which in their metadata: `UNAVAILABLE` because a database behind them is
/// down says nothing about the server itself, and must not open the breaker in front of it.
///
/// ```
/// use http::HeaderMap;
/// use mainstay_breaker::{Breaker, Verdict};
/// use mainstay_grpc::GrpcLayer;
/// use tonic::Code;
///
/// /// Whose failing is it?
/// fn judge(code: Code, metadata: &HeaderMap) -> Option<Verdict> {
///     let is_anothers = code == Code::Unavailable && metadata.contains_key("failed-dependency");
///     is_anothers.then_some(Verdict::Ignore)
/// }
///
/// let guard = GrpcLayer::client(Breaker::new("orders")?).judge(judge);
/// # let _ = guard;
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
///
/// What it reads comes from the peer and may be anything.
pub type Judge = fn(Code, &HeaderMap) -> Option<Verdict>;

// === impl Calls ===

impl Calls {
    /// For the calls that one makes: with [`Codes::new`], and as much silence as the peer likes.
    pub const fn new() -> Self {
        Self { codes: Codes::new(), max_silence: None, judge: None, own: false }
    }

    /// For the calls that one answers: with [`Codes::server`]. Answers that are not gRPC (neither `grpc-status` nor its content
    /// type: pages and metrics on the same port) are ignored, whatever their status.
    pub const fn server() -> Self {
        Self { codes: Codes::server(), max_silence: None, judge: None, own: true }
    }

    /// Which codes fail.
    #[must_use]
    pub const fn codes(mut self, codes: Codes) -> Self {
        self.codes = codes;
        self
    }

    /// Looks at the metadata of a status before the [`Codes`] do. See [`Judge`]. Default: nobody does.
    #[must_use]
    pub const fn judge(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
    }

    /// Cuts a call off when its response has begun and then nothing more comes for this long while somebody waits for it: the
    /// stream is reset, the caller gets `DEADLINE_EXCEEDED`, and it is a failure. Default: none.
    ///
    /// tonic's time-outs, and the layer's, end with the response's head, which a streaming server sends before the first
    /// message; without this a server that hangs after it is waited for as long as the caller likes. A caller that does not
    /// read is not counted as the server's silence. It needs a tokio runtime with the timer enabled, as tonic's time-outs do.
    #[must_use]
    pub const fn max_silence(mut self, silence: Duration) -> Self {
        self.max_silence = Some(silence);
        self
    }

    /// The verdict on a call that ended with this code, in these headers or trailers.
    pub(crate) fn verdict(&self, code: Code, metadata: &HeaderMap) -> Classified {
        let judged = self.judge.filter(|_| code != Code::Ok).and_then(|judge| judge(code, metadata));
        status::classify(judged.unwrap_or_else(|| self.codes.verdict(code)), metadata)
    }

    /// The verdict on a response, if its head has it.
    fn head<B: Body>(&self, response: &Response<B>) -> Option<Classified> {
        let headers = response.headers();
        let code = match status::code(headers) {
            Some(code) => code,
            None if self.own && !status::is_grpc(headers) => return Some(Classified::ignore()),
            None if response.status() != StatusCode::OK => status::code_of_http(response.status()),
            // A page that somebody else put there; what would count as a message of it is none. Without a content type it is
            // taken for gRPC, as tonic takes it.
            None if headers.contains_key(CONTENT_TYPE) && !status::is_grpc(headers) => Code::Unknown,
            // Nothing will come that could say how it went.
            None if response.body().is_end_stream() => return Some(Classified::failure()),
            None => return None,
        };
        // Another breaker's rejection: it has counted what it knows, and nobody was asked.
        let extensions = response.extensions();
        if extensions.get::<TurnedAway>().is_some() || extensions.get::<Rejected>().is_some() {
            return Some(Classified::ignore());
        }
        Some(self.verdict(code, headers))
    }
}

impl<B, E> Conclude<Response<B>, E> for Calls
where
    B: Body,
    E: 'static,
{
    type Response = Response<GuardedBody<B>>;

    fn conclude<P: CallPermit>(
        &self,
        result: Result<Response<B>, E>,
        permit: &mut P,
    ) -> Result<Response<GuardedBody<B>>, E> {
        match result {
            Ok(response) => {
                let permit = match self.head(&response) {
                    Some(verdict) => {
                        permit.record(verdict);
                        None
                    }
                    None => permit.keep(),
                };
                Ok(response.map(|body| GuardedBody::new(body, permit, *self)))
            }
            Err(error) => {
                match Fault::of(&error) {
                    Fault::Dependency => permit.record(Verdict::Failure),
                    Fault::NotAsked => permit.record(Verdict::Ignore),
                    // A permit without a verdict is that of a call that was cut off.
                    Fault::CutOff => {}
                }
                Err(error)
            }
        }
    }
}
