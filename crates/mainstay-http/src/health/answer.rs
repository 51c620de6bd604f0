use std::future::poll_fn;
use std::pin::pin;

use bytes::Buf;
use http::StatusCode;
use http_body::Body;
use mainstay_health::{CheckError, CheckOutcome, ErrorClass};

/// How much of a body is read.
pub(crate) const BOUND: usize = 64 * 1024;

/// Reads a body to its end, or to the bound.
pub(crate) async fn read<B: Body>(body: B) -> Result<(), B::Error> {
    let mut body = pin!(body);
    let mut left = BOUND;
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let length = frame?.data_ref().map_or(0, Buf::remaining);
        left = left.saturating_sub(length);
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// What a run found.
pub(crate) fn outcome(answer: Result<StatusCode, CheckError>) -> CheckOutcome {
    let (status, error) = match answer {
        Err(error) => return CheckOutcome::failed(error),
        Ok(status) if status.is_success() => (status, None),
        Ok(status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)) => {
            (status, Some(ErrorClass::Overloaded))
        }
        Ok(status) => (status, Some(ErrorClass::BadAnswer)),
    };
    let error = error.map(|class| CheckError::new(class, format_args!("it answers {status}")));
    error.map_or_else(CheckOutcome::healthy, CheckOutcome::failed).detail("http_status", status.as_u16())
}
