use std::time::Duration;

use mainstay::ConfigError;
use mainstay::breaker::Breaker;
use mainstay::health::Probe;
use mainstay_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use mainstay_redis::redis::{AsyncCommands, Client, RedisError, cmd};
use mainstay_redis::{Guarded, health, rejected};
use stack_openai::ChatMessage;
use tracing::warn;
use uuid::Uuid;

use super::{Down, KEPT, KEPT_BYTES, KEPT_FOR, TASKS, TOLD};
use crate::task::now_ms;

/// Adds messages, trims and dates the list, in one step; unless the task is among the last that did.
const APPEND: &str = "
if redis.call('ZADD', KEYS[2], 'NX', ARGV[6], ARGV[4]) == 1 then
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -tonumber(ARGV[5]) - 1)
    redis.call('EXPIRE', KEYS[2], ARGV[3])
    redis.call('RPUSH', KEYS[1], unpack(ARGV, 7))
    redis.call('LTRIM', KEYS[1], -tonumber(ARGV[1]), -1)
    local said = redis.call('LRANGE', KEYS[1], 0, -1)
    local kept, bytes = #said + 1, 0
    while kept > 1 and bytes + #said[kept - 1] <= tonumber(ARGV[2]) do
        kept = kept - 1
        bytes = bytes + #said[kept]
    end
    redis.call('LTRIM', KEYS[1], kept - 1, -1)
    redis.call('EXPIRE', KEYS[1], ARGV[3])
end
return 1";

#[derive(Clone)]
pub(crate) struct Redis {
    connection: Guarded<ConnectionManager>,
}

impl Redis {
    /// It connects when it is first asked, and again whenever it must.
    pub(super) fn open(client: Client, breaker: Breaker) -> Result<Self, ConfigError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(500)))
            .set_response_timeout(Some(Duration::from_millis(500)))
            .set_number_of_retries(1);
        let manager = ConnectionManager::new_lazy_with_config(client, config)
            .map_err(|_| ConfigError::new("REDIS_URL", "***", "must be a URL that the driver takes"))?;
        Ok(Self { connection: Guarded::new(manager, breaker).deadline(Duration::from_secs(1)) })
    }

    pub(super) fn check(&self) -> Probe {
        health::check(self.connection.clone())
    }

    /// Nobody waits to find out that it is down.
    fn is_up(&self) -> Result<(), Down> {
        self.connection.is_up().then_some(()).ok_or(Down)
    }

    pub(super) async fn last(&self, user: &str, session: &str) -> Result<Vec<ChatMessage>, Down> {
        self.is_up()?;
        let told = isize::try_from(TOLD).unwrap_or(isize::MAX);
        let said: Vec<String> =
            self.connection.clone().lrange(list(user, session), -told, -1).await.map_err(down)?;
        // What somebody else has put there is nobody's history.
        Ok(said.iter().filter_map(|message| serde_json::from_str(message).ok()).collect())
    }

    pub(super) async fn append(
        &self,
        user: &str,
        session: &str,
        task: Uuid,
        messages: &[ChatMessage],
    ) -> Result<(), Down> {
        self.is_up()?;
        let list = list(user, session);
        let mut append = cmd("EVAL");
        append.arg(APPEND).arg(2).arg(&list).arg(format!("{list}:tasks"));
        append.arg(KEPT).arg(KEPT_BYTES).arg(KEPT_FOR.as_secs());
        append.arg(task.to_string()).arg(TASKS).arg(now_ms());
        for message in messages {
            append.arg(serde_json::to_string(message).map_err(|_| Down)?);
        }
        append.exec_async(&mut self.connection.clone()).await.map_err(down)
    }
}

/// Both keys of a session are on one node of a cluster.
fn list(user: &str, session: &str) -> String {
    format!("session:{{{}:{user}:{session}}}", user.len())
}

fn down(error: RedisError) -> Down {
    if rejected(&error).is_none() {
        warn!(class = ?health::error_class(&error), "the sessions cannot be used");
    }
    Down
}
