//! Whose fault an error is.

use std::any::Any;

#[cfg(feature = "hyper")]
use std::error::Error;

/// Whether an error is known to be of the caller's making.
#[cfg(not(feature = "hyper"))]
pub(crate) fn is_callers(_: &dyn Any) -> bool {
    false
}

/// Whether an error is known to be of the caller's making.
#[cfg(feature = "hyper")]
pub(crate) fn is_callers(error: &dyn Any) -> bool {
    let mut link = as_error(error);
    while let Some(error) = link {
        if is_callers_by_itself(error) {
            return true;
        }
        link = error.source();
    }
    false
}

/// The error types that drivers return, and the box that layers put them in.
#[cfg(feature = "hyper")]
fn as_error(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return Some(error);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return Some(error);
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return Some(error);
    }
    let boxed = error.downcast_ref::<Box<dyn Error + Send + Sync>>()?;
    Some(&**boxed)
}

#[cfg(feature = "hyper")]
fn is_callers_by_itself(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        // It does not show its kind. Everything that the network did to it has a source or is from connecting; what has
        // none was refused before anything was sent.
        return match error.source() {
            None => !error.is_connect(),
            Some(source) => error.is_connect() && is_unsupported_url(source),
        };
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_user();
    }
    #[cfg(feature = "reqwest")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return error.is_builder() || error.is_redirect();
    }
    false
}

/// Whether the connector refused to look at the URL. Its error has no type that can be named; a test over the real one
/// tells when the words change, and until then such an error is a failure like any other.
#[cfg(feature = "hyper")]
fn is_unsupported_url(error: &(dyn Error + 'static)) -> bool {
    error.source().is_none()
        && !error.is::<std::io::Error>()
        && error.to_string().starts_with("invalid URL, ")
}
