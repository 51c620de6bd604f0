//! Earlier answers of the language model, which may stand in for new ones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use stack_openai::ChatMessage;

use super::provider::Said;
use crate::task::Sampling;

/// What they may take of the memory, in bytes.
const MOST: u64 = 32 * 1024 * 1024;
/// What one takes beside its texts: the key, its places in the cache, and what allocators round up.
const BESIDE: usize = 640;
/// About as many as that is.
const ENTRIES: usize = 32 * 1024;
/// How long one may stand in.
const GOOD_FOR: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub(super) struct Earlier(Arc<Cache<Key, Answered, ByBytes>>);

/// Of who asked what how.
pub(super) type Key = [u8; 32];

#[derive(Clone)]
struct Answered {
    said: Arc<Said>,
    at: Instant,
}

#[derive(Clone)]
struct ByBytes;

impl Earlier {
    pub(super) fn new() -> Self {
        Self(Arc::new(Cache::with_weighter(ENTRIES, MOST, ByBytes)))
    }

    pub(super) fn put(&self, key: Key, said: &Said) {
        self.0.insert(key, Answered { said: Arc::new(said.clone()), at: Instant::now() });
    }

    pub(super) fn get(&self, key: &Key) -> Option<Said> {
        let answered = self.0.get(key).filter(|answered| answered.at.elapsed() < GOOD_FOR)?;
        Some(answered.said.as_ref().clone())
    }
}

pub(super) fn key(user: &str, model: &str, sampling: &Sampling, messages: &[ChatMessage]) -> Key {
    // It is made of texts and numbers, which JSON has words for.
    Sha256::digest(serde_json::to_vec(&(user, model, sampling, messages)).unwrap_or_default()).into()
}

impl Weighter<Key, Answered> for ByBytes {
    fn weight(&self, _: &Key, answered: &Answered) -> u64 {
        (answered.said.text.capacity() + answered.said.model.capacity() + BESIDE) as u64
    }
}
