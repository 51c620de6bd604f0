use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Any error that a check may return.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What kind of error a check met: safe to show to anybody, where the error's text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// No answer in time.
    TimedOut,
    /// Nobody listens there.
    ConnectionRefused,
    /// The connection broke.
    ConnectionLost,
    /// There is no way there.
    Unreachable,
    /// The name does not resolve.
    NameNotResolved,
    /// TLS failed: a certificate, a version, a name.
    Tls,
    /// The credentials were refused, or a right is missing.
    Unauthorized,
    /// It turned us away because it has too much to do.
    Overloaded,
    /// A breaker turned the call away: nobody was asked.
    CircuitOpen,
    /// It answered, but not what was expected.
    BadAnswer,
    /// Something that must exist does not.
    NotFound,
    /// The check panicked.
    Panicked,
    /// Anything else.
    Other,
}

/// An error that a check met: its class, for everybody, and its text, for us.
///
/// `Display` and `Serialize` tell the class only, so that a host, a user or a password in a driver's text does not leave
/// the process by accident. [`text`](Self::text) has it all.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckError {
    class: ErrorClass,
    text: Arc<str>,
}

/// The longest text that is kept of an error, in bytes.
const MAX_TEXT: usize = 2048;

/// As much of a text as is kept.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        let mut end = MAX_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

// === impl ErrorClass ===

impl ErrorClass {
    /// As it is written on the wire, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorClass::TimedOut => "timed_out",
            ErrorClass::ConnectionRefused => "connection_refused",
            ErrorClass::ConnectionLost => "connection_lost",
            ErrorClass::Unreachable => "unreachable",
            ErrorClass::NameNotResolved => "name_not_resolved",
            ErrorClass::Tls => "tls",
            ErrorClass::Unauthorized => "unauthorized",
            ErrorClass::Overloaded => "overloaded",
            ErrorClass::CircuitOpen => "circuit_open",
            ErrorClass::BadAnswer => "bad_answer",
            ErrorClass::NotFound => "not_found",
            ErrorClass::Panicked => "panicked",
            ErrorClass::Other => "other",
        }
    }

    /// The class that an error's own type, or that of one of its sources, tells: a [`CheckError`], an [`io::Error`], or a
    /// time-out of tokio's. [`Other`](Self::Other) where none of them tells.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(known) = error.downcast_ref::<CheckError>() {
                return known.class;
            }
            if error.is::<tokio::time::error::Elapsed>() {
                return ErrorClass::TimedOut;
            }
            if let Some(class) = error.downcast_ref::<io::Error>().and_then(of_io) {
                return class;
            }
            next = error.source();
        }
        ErrorClass::Other
    }
}

fn of_io(error: &io::Error) -> Option<ErrorClass> {
    use io::ErrorKind::*;
    Some(match error.kind() {
        TimedOut => ErrorClass::TimedOut,
        ConnectionRefused => ErrorClass::ConnectionRefused,
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof => {
            ErrorClass::ConnectionLost
        }
        HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => ErrorClass::Unreachable,
        PermissionDenied => ErrorClass::Unauthorized,
        NotFound => ErrorClass::NotFound,
        InvalidData => ErrorClass::BadAnswer,
        // The standard library has no kind for it, and no code of the system's either.
        _ if error.to_string().contains("failed to lookup address") => ErrorClass::NameNotResolved,
        _ => return None,
    })
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl CheckError ===

impl CheckError {
    /// An error of a class, with a text that stays inside. Of the text 2 KiB are kept.
    pub fn new(class: ErrorClass, text: impl fmt::Display) -> Self {
        Self { class, text: cut(text.to_string()).into() }
    }

    /// From any error: its text with that of all its sources, and a class.
    pub fn from_error(class: ErrorClass, error: &(dyn Error + 'static)) -> Self {
        use fmt::Write;
        // One of our own prints its class only.
        let text_of = |error: &(dyn Error + 'static)| match error.downcast_ref::<CheckError>() {
            Some(known) => known.text.to_string(),
            None => error.to_string(),
        };
        let mut text = text_of(error);
        let mut source = error.source();
        while let Some(error) = source.filter(|_| text.len() <= MAX_TEXT) {
            let inner = text_of(error);
            // Many errors print their source themselves.
            if !text.contains(&inner) {
                let _ = write!(text, ": {inner}");
            }
            source = error.source();
        }
        Self::new(class, text)
    }

    /// What kind of error it is.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Its full text: for logs, and for those whom a `DetailsPolicy` allows.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.class.fmt(f)
    }
}

impl fmt::Debug for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckError").field("class", &self.class).finish_non_exhaustive()
    }
}

impl Error for CheckError {}

impl Serialize for CheckError {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.class.serialize(serializer)
    }
}
