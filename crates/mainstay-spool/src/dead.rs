use std::sync::Arc;
use std::time::SystemTime;

use crate::ItemId;

/// Why an item became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeathCause {
    /// It was tried as often as it may be.
    TriesUsedUp,
    /// The sink said that it will never succeed.
    Poison,
    /// It was written with a newer item version than this program has.
    NewerVersion,
    /// It cannot be deserialized as what this program expects.
    Undecodable,
    /// Its bytes are not those that were written.
    Corrupt,
}

/// An item that could not be delivered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter<T> {
    /// Who it is.
    pub id: ItemId,
    /// Its order key, if it has one.
    pub key: Option<Arc<str>>,
    /// How often it was tried.
    pub tries: u32,
    /// Why it is here.
    pub cause: DeathCause,
    /// The last error: the sink's, or a fixed text for a cause that is not the sink's.
    pub error: String,
    /// When it was accepted, by the wall clock.
    pub accepted: SystemTime,
    /// When it became a dead letter, by the wall clock.
    pub died: SystemTime,
    /// The item, if this program can read it.
    pub item: Option<T>,
    /// The item's bytes: MessagePack.
    pub body: Vec<u8>,
}

// === impl DeathCause ===

impl DeathCause {
    /// In words that never change, for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TriesUsedUp => "tries_used_up",
            Self::Poison => "poison",
            Self::NewerVersion => "newer_version",
            Self::Undecodable => "undecodable",
            Self::Corrupt => "corrupt",
        }
    }

    pub(crate) fn code(self) -> i64 {
        match self {
            Self::TriesUsedUp => 1,
            Self::Poison => 2,
            Self::NewerVersion => 3,
            Self::Undecodable => 4,
            Self::Corrupt => 5,
        }
    }

    pub(crate) fn from_code(code: i64) -> Self {
        match code {
            1 => Self::TriesUsedUp,
            2 => Self::Poison,
            3 => Self::NewerVersion,
            4 => Self::Undecodable,
            _ => Self::Corrupt,
        }
    }

    /// The error of a cause that is not the sink's.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NewerVersion => "written by a newer program",
            Self::Undecodable => "cannot be deserialized",
            Self::Corrupt => "not the bytes that were written",
            Self::TriesUsedUp | Self::Poison => "failed",
        }
    }
}
