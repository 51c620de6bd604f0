use std::error::Error;
use std::sync::Arc;

use mainstay_breaker::Verdict;
use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use crate::rejected;

/// What an error says about Redis. This is what a [`Guarded`](crate::Guarded) counts by, unless it is told otherwise.
///
/// | error | verdict |
/// | --- | --- |
/// | I/O, refused or lost connections, time-outs, TLS, no node of the cluster, no master known to the sentinels | failure |
/// | an answer that breaks off, or that is not the protocol | failure |
/// | `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`: not ready | failure |
/// | `BUSY`: an endless script | failure |
/// | `OOM`, `READONLY`, `MISCONF`, `NOREPLICAS`: does not take writes | failure |
/// | `ERR max number of clients reached` | failure |
/// | `EXECABORT`, a pipeline, a transaction | failure if one of its causes is |
/// | any other code (`ERR`, `WRONGTYPE`, `NOSCRIPT`, `NOAUTH`, `WRONGPASS`, `NOPERM`, `CROSSSLOT`, `MOVED`, `ASK`, `BUSYGROUP`, ...) | success |
/// | what the driver refuses by itself: invalid settings, an empty command, a pipeline over two slots, refused credentials | ignored |
/// | a rejection by a breaker | ignored |
///
/// A caller's mistake is a success here because it takes a server in good order to point it out. Were it ignored, a breaker
/// whose only traffic is mistaken could never close again. What never reached a server is ignored.
///
/// An error of the driver that a good answer does not fit the type asked for looks like that of an answer that is not the
/// protocol. A guard never sees it: answers are converted above it.
///
/// Servers before Redis 7 hide the code of a command that fails in a script behind `ERR`; it is not looked for there.
pub fn verdict(error: &RedisError) -> Verdict {
    use ErrorKind::*;

    if let Some(errors) = several(error) {
        let fails = errors.iter().any(|(_, error)| code(error.code(), error.details()) == Verdict::Failure);
        return if fails { Verdict::Failure } else { Verdict::Success };
    }
    match error.kind() {
        Io if rejected(error).is_some() => Verdict::Ignore,
        Io | Parse | ClusterConnectionNotFound => Verdict::Failure,
        MasterNameNotFoundBySentinel | NoValidReplicasFoundBySentinel => Verdict::Failure,
        // A server's own has itself as its source: this is the driver's, of a pipeline that it did not send.
        Server(ServerErrorKind::CrossSlot) if error.source().is_none() => Verdict::Ignore,
        Server(_) | Extension => code(error.code().unwrap_or_default(), error.detail()),
        // Of the client's errors only those of TLS come from elsewhere.
        Client if error.source().is_some() => Verdict::Failure,
        Client | InvalidClientConfig | AuthenticationFailed | UnexpectedReturnType => Verdict::Ignore,
        EmptySentinelList | RESP3NotSupported => Verdict::Ignore,
        // A kind that only another version of the driver, or a feature of it, knows.
        _ if error.is_unrecoverable_error() => Verdict::Failure,
        _ => Verdict::Ignore,
    }
}

/// The errors of the server that an error stands for, if it is that of a pipeline or a transaction.
pub(crate) fn several(error: &RedisError) -> Option<Arc<[(usize, ServerError)]>> {
    // A single error of the server has itself as its source, and the list would have to be made for it. The others share it.
    if error.source().is_some() { None } else { error.clone().into_server_errors() }
}

/// The verdict on an answer of the server, by its code.
fn code(code: &str, detail: Option<&str>) -> Verdict {
    let detail = detail.unwrap_or_default();
    match code {
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => Verdict::Failure,
        "OOM" | "READONLY" | "MISCONF" | "NOREPLICAS" => Verdict::Failure,
        "ERR" if detail.starts_with("max number of clients") => Verdict::Failure,
        // "EXECABORT Transaction discarded because of: OOM command not allowed", when it was EXEC that was refused.
        "EXECABORT" => match detail.split_once("because of: ") {
            Some((_, cause)) if !cause.starts_with("EXECABORT") => {
                let (cause, detail) = cause.split_once(' ').unwrap_or((cause, ""));
                self::code(cause, Some(detail))
            }
            _ => Verdict::Success,
        },
        _ => Verdict::Success,
    }
}
