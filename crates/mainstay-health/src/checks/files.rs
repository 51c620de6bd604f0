//! The kernel's files.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// A file, if there is one.
pub(super) fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// A file says something that it never does.
pub(super) fn malformed(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{}: not understood", path.display()))
}
