use std::any::Any;
use std::error::Error;
use std::fmt::Display;

use mainstay_breaker::{Rejected, TimedOut};
use mainstay_health::{CheckError, ErrorClass};

use crate::transport::{as_error, rejected_in};

/// The class and the text of an error of a driver, or of a guard around one.
pub(crate) fn check_error<E: Display + 'static>(error: E) -> CheckError {
    let known = as_error(&error)
        .or_else(|| (&error as &dyn Any).downcast_ref::<std::io::Error>().map(|error| error as _));
    match known {
        Some(known) => CheckError::from_error(class(known), known),
        None => CheckError::new(ErrorClass::Other, error),
    }
}

fn class(error: &(dyn Error + 'static)) -> ErrorClass {
    let mut vague = ErrorClass::Other;
    let mut connecting = false;
    let mut next = Some(error);
    while let Some(link) = next {
        if link.is::<Rejected>() {
            return ErrorClass::CircuitOpen;
        }
        if link.is::<TimedOut>() {
            return ErrorClass::TimedOut;
        }
        if let Some(hint) = hint(link, &mut connecting) {
            vague = hint;
        }
        // A guard's error in a box: its source would pass over the rejection.
        next = rejected_in(link).or_else(|| link.source());
    }
    match ErrorClass::of(error) {
        ErrorClass::Other => vague,
        // Before there is a connection no answer can be bad, but a handshake can.
        ErrorClass::BadAnswer if connecting => ErrorClass::Tls,
        class => class,
    }
}

/// What a driver's own error tells, if nothing below it tells more.
fn hint(error: &(dyn Error + 'static), connecting: &mut bool) -> Option<ErrorClass> {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        *connecting |= error.is_connect();
        return None;
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return if error.is_timeout() {
            Some(ErrorClass::TimedOut)
        } else if error.is_parse() {
            Some(ErrorClass::BadAnswer)
        } else if error.is_incomplete_message()
            || error.is_closed()
            || error.is_canceled()
            || error.is_body_write_aborted()
        {
            Some(ErrorClass::ConnectionLost)
        } else {
            None
        };
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        *connecting |= error.is_connect();
        return if error.is_timeout() {
            Some(ErrorClass::TimedOut)
        } else if error.is_redirect() || error.is_decode() {
            Some(ErrorClass::BadAnswer)
        } else {
            None
        };
    }
    None
}
