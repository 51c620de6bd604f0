//! The windows in Redis: one script counts in all three or in none, by Redis's own clock, so that gateways whose clocks differ agree.

use std::fmt;
use std::sync::LazyLock;

use mainstay_redis::redis::{RedisResult, Script};

use super::window::{Admission, Quota};
use crate::wiring::Redis;

/// Keys: the counters of the minute, the hour and the day. Arguments: their limits, then their lengths in milliseconds.
/// Each counter expires when its window ends. What is refused is counted nowhere.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counted, admitted = {}, 1
for i = 1, 3 do
  counted[i] = tonumber(redis.call('GET', KEYS[i]) or '0')
  if counted[i] >= tonumber(ARGV[i]) then admitted = 0 end
end
if admitted == 1 then
  for i = 1, 3 do
    counted[i] = redis.call('INCR', KEYS[i])
    if counted[i] == 1 then
      local length = tonumber(ARGV[i + 3])
      redis.call('PEXPIREAT', KEYS[i], string.format('%d', (math.floor(now / length) + 1) * length))
    end
  end
end
return {admitted, counted[1], counted[2], counted[3], now}
",
    )
});

/// Counts for all gateways.
pub struct RedisLimiter {
    redis: Redis,
}

impl RedisLimiter {
    /// In this Redis.
    pub fn new(redis: Redis) -> Self {
        Self { redis }
    }

    /// Whether it is worth asking.
    pub fn is_up(&self) -> bool {
        self.redis.is_up()
    }

    /// Counts a request, if it is admitted.
    ///
    /// # Errors
    ///
    /// Redis, or its breaker, did not let it be known.
    pub async fn admit(&self, user: &str, quota: Quota) -> RedisResult<Admission> {
        let mut call = ADMIT.prepare_invoke();
        for window in super::Window::ALL {
            // In a cluster all three are in one slot.
            call.key(format!("gateway:limit:{{{user}}}:{}", window.as_str()));
        }
        for limit in quota.0 {
            call.arg(limit);
        }
        for window in super::Window::ALL {
            call.arg(window.millis());
        }
        let (admitted, minute, hour, day, now): (u8, u64, u64, u64, u64) =
            call.invoke_async(&mut self.redis.clone()).await?;
        Ok(Admission::of(quota, [minute, hour, day], admitted == 1, now))
    }
}

impl fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLimiter").finish_non_exhaustive()
    }
}
