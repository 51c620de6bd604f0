use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use mainstay_health::{ProbeExit, ProbeReply};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::ask;
use super::class::check_error;
use super::target::Target;

/// How long a [`probe`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimeouts {
    /// For the connection, and before it for the name. More than zero. Default: 1 s.
    pub connect: Duration,
    /// For the answer after that. More than zero. Default: 1 s.
    pub call: Duration,
}

/// Asks an endpoint once, with GET over plain HTTP/1.1: the health check of a container that has neither a shell nor curl.
/// It ends in at most both time-outs together.
///
/// | what comes back | exit |
/// | --- | --- |
/// | 200 to 299, and its body (of which 64 KiB are read) | [`Healthy`](ProbeExit::Healthy), 0 |
/// | no URL, one with credentials, or one that does not begin with `http://`; a time-out of zero | [`InvalidArguments`](ProbeExit::InvalidArguments), 1 |
/// | no connection, or none in time | [`ConnectionFailed`](ProbeExit::ConnectionFailed), 2 |
/// | no answer, none in time, or one that breaks off | [`CallFailed`](ProbeExit::CallFailed), 3 |
/// | any other status | [`Unhealthy`](ProbeExit::Unhealthy), 4 |
///
/// The reply's text holds the status or the kind of an error, and neither the URL nor a text from outside.
///
/// It needs a tokio runtime with I/O and time. Outside of any, and in one that has not both, the connection failed; that a
/// runtime lacks them is only known by a panic of tokio's, which is caught, and ends the process where panics abort.
pub async fn probe(url: &str, timeouts: ProbeTimeouts) -> ProbeReply {
    let mut asking = pin!(ask_once(url, timeouts));
    let asked = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| asking.as_mut().poll(cx))) {
        Ok(asked) => asked,
        Err(_) => Poll::Ready(Err(no_connection("the tokio runtime here lacks I/O or time"))),
    });
    asked.await.unwrap_or_else(|reply| reply)
}

async fn ask_once(url: &str, timeouts: ProbeTimeouts) -> Result<ProbeReply, ProbeReply> {
    let target =
        Target::new(url).map_err(|error| invalid(format_args!("the {} {}", error.field, error.rule)))?;
    if timeouts.connect.is_zero() || timeouts.call.is_zero() {
        return Err(invalid("a time-out must be more than zero"));
    }
    if Handle::try_current().is_err() {
        return Err(no_connection("there is no tokio runtime here"));
    }
    let stream = match timeout(timeouts.connect, ask::connect(&target)).await {
        Ok(connected) => connected.map_err(|error| no_connection(check_error(error).class()))?,
        Err(_) => {
            let text = format_args!("no connection within {:?}", timeouts.connect);
            return Err(ProbeReply::new(ProbeExit::ConnectionFailed, text));
        }
    };
    match timeout(timeouts.call, ask::exchange(stream, &target)).await {
        Ok(Ok(status)) if status.is_success() => Ok(ProbeReply::new(ProbeExit::Healthy, status)),
        Ok(Ok(status)) => Ok(ProbeReply::new(ProbeExit::Unhealthy, status)),
        Ok(Err(error)) => {
            let class = check_error(error).class();
            Err(ProbeReply::new(ProbeExit::CallFailed, format_args!("the call failed: {class}")))
        }
        Err(_) => {
            let text = format_args!("no answer within {:?}", timeouts.call);
            Err(ProbeReply::new(ProbeExit::CallFailed, text))
        }
    }
}

fn invalid(why: impl Display) -> ProbeReply {
    ProbeReply::new(ProbeExit::InvalidArguments, why)
}

fn no_connection(why: impl Display) -> ProbeReply {
    ProbeReply::new(ProbeExit::ConnectionFailed, format_args!("no connection: {why}"))
}

impl Default for ProbeTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), call: Duration::from_secs(1) }
    }
}
