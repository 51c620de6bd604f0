use std::fmt;

use mainstay_core::{ConfigError, NoRuntime};

/// What is wrong with the store. The driver's own words, which may hold paths, are not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// Another process, or another spool of this one, has the directory open.
    #[error("another spool has the directory open")]
    InUse,
    /// The file is not what it should be. The next opening recovers what is whole.
    #[error("the file is corrupt")]
    Corrupt,
    /// The file system failed, or denied access.
    #[error("the file system failed")]
    Io,
    /// Anything else.
    #[error("the store failed")]
    Other,
}

/// Why a spool was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting was refused.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// There is no tokio runtime here.
    #[error(transparent)]
    NoRuntime(#[from] NoRuntime),
    /// The directory or its files cannot be used. Corrupt, foreign and newer files are no reason: they are set aside.
    #[error("the spool cannot be opened: {0}")]
    Store(#[from] Fault),
}

/// Why an item was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The file of undelivered items has reached its bound.
    #[error("the spool has reached its bound of {bound} bytes")]
    Full {
        /// The bound, in bytes.
        bound: u64,
    },
    /// The item is larger than items may be.
    #[error("the item has {bytes} bytes, more than {most}")]
    TooLarge {
        /// The size of the item, in bytes.
        bytes: usize,
        /// The most that is allowed, in bytes.
        most: usize,
    },
    /// `serde` could not serialize the item.
    #[error("the item cannot be serialized")]
    Unserializable,
    /// The spool is shut down, or about to be.
    #[error("the spool is shut down")]
    Closed,
    /// The store failed. Unless the disk is full, the item may be there all the same, and be delivered: as after any write that was
    /// not confirmed.
    #[error("the item was not stored: {0}")]
    Store(Fault),
}

/// An item that was not accepted, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PushError<T> {
    item: T,
    refusal: Refusal,
}

// === impl Fault ===

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            Some(
                ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::NoLargeFileSupport,
            ) => Self::Io,
            _ => Self::Other,
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io,
        }
    }
}

// === impl PushError ===

impl<T> PushError<T> {
    pub(crate) fn new(item: T, refusal: Refusal) -> Self {
        Self { item, refusal }
    }

    /// Why it was not accepted.
    pub fn refusal(&self) -> Refusal {
        self.refusal
    }

    /// The item.
    pub fn into_item(self) -> T {
        self.item
    }
}

/// Without the item.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushError").field("refusal", &self.refusal).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl<T> std::error::Error for PushError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.refusal)
    }
}
