use std::future::Future;
use std::sync::Arc;

use crate::{Item, Outcome};

/// Where the items go.
///
/// It may be given an item again: after a crash, after a delivery that was cut off, after one that said `Retry`. [`Item::id`] tells.
/// A panic is contained. After a delivery of several items that panicked or took too long, each of them is tried alone, so that
/// one of them cannot spoil the others; alone, a panic counts as a try, and so does taking too long if the sink has delivered
/// something else meanwhile.
pub trait Sink<T>: Send + Sync + 'static {
    /// Delivers a batch: one to as many items as [`SpoolSettings::batch`](crate::SpoolSettings::batch) says, oldest first, no two of the
    /// same key. Returns an outcome for each, in the same order. Items without one are tried again.
    fn deliver(&self, batch: &[Item<T>]) -> impl Future<Output = Vec<Outcome>> + Send;
}

impl<T: Sync, S: Sink<T>> Sink<T> for Arc<S> {
    fn deliver(&self, batch: &[Item<T>]) -> impl Future<Output = Vec<Outcome>> + Send {
        S::deliver(self, batch)
    }
}
