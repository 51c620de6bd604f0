use std::time::Duration;

use mainstay_health::{ProbeExit, ProbeReply};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::ask;
use super::target::Target;

/// How long a [`probe`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeTimeouts {
    /// For the connection, and before it for the name. Default: 1 s.
    pub connect: Duration,
    /// For the answer, from when there is a connection. Default: 1 s.
    pub answer: Duration,
}

/// Asks an endpoint once, with GET over plain HTTP/1.1: the health check of a container that has neither a shell nor curl.
/// It ends in at most both time-outs together.
///
/// | what comes back | exit |
/// | --- | --- |
/// | 200 to 299, and its body (of which 64 KiB are read) | [`Healthy`](ProbeExit::Healthy), 0 |
/// | no URL, one with credentials, or one that does not begin with `http://` | [`InvalidArguments`](ProbeExit::InvalidArguments), 1 |
/// | no connection, or none in time | [`ConnectionFailed`](ProbeExit::ConnectionFailed), 2 |
/// | no answer, none in time, or one that breaks off | [`CallFailed`](ProbeExit::CallFailed), 3 |
/// | any other status | [`Unhealthy`](ProbeExit::Unhealthy), 4 |
///
/// It needs a tokio runtime with I/O and time; outside of any, the connection failed.
pub async fn probe(url: &str, timeouts: ProbeTimeouts) -> ProbeReply {
    let target = match Target::new(url) {
        Ok(target) => target,
        Err(error) => return ProbeReply::new(ProbeExit::InvalidArguments, error),
    };
    let (host, port) = (&target.host, target.port);
    let no_connection = |why: String| {
        ProbeReply::new(
            ProbeExit::ConnectionFailed,
            format_args!("no connection to {host} port {port}: {why}"),
        )
    };
    let failed = |why: String| ProbeReply::new(ProbeExit::CallFailed, format_args!("no answer: {why}"));
    if Handle::try_current().is_err() {
        return no_connection("there is no tokio runtime here".to_owned());
    }
    let stream = match timeout(timeouts.connect, ask::connect(&target)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return no_connection(error.to_string()),
        Err(_) => return no_connection(format!("none within {:?}", timeouts.connect)),
    };
    match timeout(timeouts.answer, ask::exchange(stream, &target)).await {
        Ok(Ok(status)) if status.is_success() => ProbeReply::new(ProbeExit::Healthy, status),
        Ok(Ok(status)) => ProbeReply::new(ProbeExit::Unhealthy, status),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("none within {:?}", timeouts.answer)),
    }
}

impl Default for ProbeTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), answer: Duration::from_secs(1) }
    }
}
