//! Locks and responses in Redis, for all gateways.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use mainstay::breaker::Breaker;
use mainstay_redis::redis::{RedisError, Script};

use super::{StoreDown, below};
use crate::wiring::Redis;

// Two keys of a request: the first one's record counts; below it is what counts again once it is gone.

/// What is there stays; it is the answer. Else the record is put there.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local found = redis.call('GET', KEYS[1]) or redis.call('GET', KEYS[2])
if found then return found end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
",
    )
});

/// Only who knows what stands there may change it.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if (redis.call('GET', KEYS[1]) or redis.call('GET', KEYS[2])) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
",
    )
});

/// The same, and what counts once the new one is gone.
static COVER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if (redis.call('GET', KEYS[1]) or redis.call('GET', KEYS[2])) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[5])
return 1
",
    )
});

/// In Redis.
#[derive(Clone)]
pub struct RedisStore {
    redis: Redis,
    breaker: Breaker,
}

impl RedisStore {
    /// In this one.
    pub fn new(redis: Redis, breaker: Breaker) -> Self {
        Self { redis, breaker }
    }

    pub(super) async fn begin(
        &self,
        name: &str,
        record: &str,
        lease: Duration,
    ) -> Result<Option<String>, StoreDown> {
        if !self.redis.is_up() {
            return Err(StoreDown);
        }
        let mut call = BEGIN.key(name);
        let call = call.key(below(name)).arg(record).arg(millis(lease));
        call.invoke_async(&mut self.redis.clone()).await.map_err(down)
    }

    pub(super) async fn replace(
        &self,
        name: &str,
        mine: &str,
        by: Option<&str>,
        lease: Duration,
    ) -> Result<bool, StoreDown> {
        let mut call = REPLACE.key(name);
        let call = call.key(below(name)).arg(mine).arg(by.unwrap_or_default()).arg(millis(lease));
        let replaced: u8 = call.invoke_async(&mut self.redis.clone()).await.map_err(down)?;
        Ok(replaced == 1)
    }

    pub(super) async fn cover(
        &self,
        name: &str,
        found: &str,
        (below_it, kept): (&str, Duration),
        (by, lease): (&str, Duration),
    ) -> Result<bool, StoreDown> {
        let mut call = COVER.key(name);
        let call = call.key(below(name)).arg(found).arg(below_it).arg(millis(kept));
        let call = call.arg(by).arg(millis(lease));
        let covered: u8 = call.invoke_async(&mut self.redis.clone()).await.map_err(down)?;
        Ok(covered == 1)
    }

    pub(super) fn breaker(&self) -> &Breaker {
        &self.breaker
    }
}

fn millis(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn down(error: RedisError) -> StoreDown {
    tracing::debug!(%error, "idempotency keys cannot be asked for");
    StoreDown
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}
