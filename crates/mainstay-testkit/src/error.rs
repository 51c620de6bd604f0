use std::path::PathBuf;
use std::{fmt, io};

/// Why a server or a proxy could not be started, or could not be made to do something.
///
/// `Debug` is the same as `Display`, so that a test's `unwrap()` shows a server's log as it was written.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TestkitError {
    /// A server's binary is not installed.
    #[error("{} was not found; install it with `{install}`", binary.display())]
    MissingBinary {
        /// The binary that was looked for.
        binary: PathBuf,
        /// The command that installs it here.
        install: String,
    },
    /// A server did not get ready, or ended before it was.
    #[error("{what}\n--- the end of its log:\n{log}---")]
    NotReady {
        /// Which server, and what became of it.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A program that the testkit needs did not do its work.
    #[error("{what}\n--- what it wrote:\n{output}---")]
    Failed {
        /// Which program.
        what: String,
        /// The last lines that it wrote.
        output: String,
    },
    /// A server that was to be stopped or resumed does not run.
    #[error("{what} does not run")]
    NotRunning {
        /// Which server.
        what: String,
    },
    /// No free port was found.
    #[error("there is no free port between {low} and {high}")]
    NoPort {
        /// The lowest port that was tried.
        low: u16,
        /// The highest port that was tried.
        high: u16,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
}

/// An I/O error with what was tried.
pub(crate) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, TestkitError>;
}

// === impl TestkitError ===

impl fmt::Debug for TestkitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl During ===

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, TestkitError> {
        self.map_err(|error| TestkitError::Io { what: what(), source: error.into() })
    }
}
