use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Who an item is: the same at every delivery, after crashes, and after it was requeued. No two items have the same, also not those
/// of other spools. As a number of 128 bits it fits a `uuid` column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(u128);

/// An item on its way to the sink.
#[derive(Clone, Debug)]
pub struct Item<T> {
    pub(crate) id: ItemId,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) attempt: u32,
    pub(crate) accepted: SystemTime,
    pub(crate) value: T,
}

/// An item in the queue, as it is seen by whoever looks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Queued<T> {
    /// Who it is.
    pub id: ItemId,
    /// Its order key, if it has one.
    pub key: Option<Arc<str>>,
    /// How often it was tried, as far as the file tells.
    pub tries: u32,
    /// When it was accepted, by the wall clock.
    pub accepted: SystemTime,
    /// The item, if this program can read it.
    pub item: Option<T>,
    pub(crate) place: i64,
}

// === impl ItemId ===

impl ItemId {
    /// `origin` is drawn at random at each opening, so that a directory that is restored from a copy gives no id twice.
    pub(crate) fn new(origin: u64, seq: u64) -> Self {
        Self((u128::from(origin) << 64) | u128::from(seq))
    }

    pub(crate) fn origin(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(crate) fn seq(self) -> u64 {
        self.0 as u64
    }

    /// As a number.
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// From the number that [`as_u128`](Self::as_u128) gave.
    pub fn from_u128(number: u128) -> Self {
        Self(number)
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Item ===

impl<T> Item<T> {
    /// Who it is. A sink that stores it drops repeats by it.
    pub fn id(&self) -> ItemId {
        self.id
    }

    /// Its order key, if it has one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Which try this is, counted from 1. Deliveries that say nothing about the item (the sink was unavailable) do not count.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it was accepted, by the wall clock.
    pub fn accepted(&self) -> SystemTime {
        self.accepted
    }

    /// What was pushed.
    pub fn value(&self) -> &T {
        &self.value
    }
}
