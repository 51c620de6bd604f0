use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::{DeathCause, ItemId};

/// An item as the store has it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Where it stands in the queue: unique, and growing.
    pub(crate) place: i64,
    pub(crate) id: ItemId,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) version: u32,
    pub(crate) tries: u32,
    /// When it was accepted: milliseconds since the Unix epoch.
    pub(crate) accepted: i64,
    pub(crate) body: Vec<u8>,
    /// Over everything above but the tries, which are no part of the item.
    pub(crate) sum: u32,
}

impl Row {
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.key.as_ref().map_or(0, |key| key.len())
    }

    pub(crate) fn checksum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.place.to_le_bytes());
        sum.update(&self.id.as_u128().to_le_bytes());
        sum.update(&self.version.to_le_bytes());
        sum.update(&self.accepted.to_le_bytes());
        // So that no key ends like the one without any.
        let key = self.key.as_deref().map(str::as_bytes);
        sum.update(&key.map_or(u64::MAX, |key| key.len() as u64).to_le_bytes());
        sum.update(key.unwrap_or_default());
        sum.update(&self.body);
        sum.finalize()
    }

    /// Gives it another place.
    pub(crate) fn put_at(&mut self, place: i64) {
        self.place = place;
        self.sum = self.checksum();
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.sum == self.checksum()
    }

    /// The item, or why it cannot be read.
    pub(crate) fn decode<T: DeserializeOwned>(&self, newest: u32) -> Result<T, DeathCause> {
        if !self.is_sound() {
            return Err(DeathCause::Corrupt);
        }
        if self.version > newest {
            return Err(DeathCause::NewerVersion);
        }
        // A `Deserialize` of the user's that panics would end the deliveries.
        match catch_unwind(AssertUnwindSafe(|| rmp_serde::from_slice(&self.body))) {
            Ok(Ok(value)) => Ok(value),
            _ => Err(DeathCause::Undecodable),
        }
    }
}
