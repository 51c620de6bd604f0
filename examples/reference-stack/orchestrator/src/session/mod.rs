//! What was said in a session: at most 1,000 messages and 256 KiB, for 30 days after the last one. In Redis, or in memory where none is configured,
//! both behind the breaker `redis`.

mod memory;
mod redis;

use std::time::Duration;

use mainstay::ConfigError;
use mainstay::breaker::Breaker;
use mainstay::health::Probe;
use stack_openai::ChatMessage;
use uuid::Uuid;

use self::memory::Memory;
use self::redis::Redis;
use crate::settings::Settings;

/// The most messages that are kept of a session.
const KEPT: usize = 1000;
/// The most bytes of them; the oldest go first.
const KEPT_BYTES: usize = 256 * 1024;
/// The most tasks that are known to have said what is kept; one that runs again after a crash is among the last.
const TASKS: usize = 100;
/// How long a session is kept after its last message.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most messages of a session that a task is told.
const TOLD: usize = 50;
/// The most bytes of text of them.
const TOLD_BYTES: usize = 64 * 1024;

/// Sessions cannot be read or written now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Down;

#[derive(Clone)]
pub(crate) enum Sessions {
    Redis(Redis),
    Memory(Memory),
}

impl Sessions {
    /// The ones that the settings ask for. Redis need not be up.
    pub(crate) fn open(settings: &Settings, breaker: Breaker) -> Result<Self, ConfigError> {
        match &settings.redis {
            Some(client) => Redis::open(client.clone(), breaker).map(Self::Redis),
            None => Ok(Self::Memory(Memory::new(breaker))),
        }
    }

    pub(crate) fn check(&self) -> Probe {
        match self {
            Self::Redis(redis) => redis.check(),
            Self::Memory(memory) => memory.check(),
        }
    }

    /// The last messages of a user's session, oldest first.
    pub(crate) async fn history(&self, user: &str, session: &str) -> Result<Vec<ChatMessage>, Down> {
        let last = match self {
            Self::Redis(redis) => redis.last(user, session).await?,
            Self::Memory(memory) => memory.last(user, session).await?,
        };
        let mut bytes = 0;
        let told = last.iter().rev().take_while(|message| {
            bytes += message.text().len();
            bytes <= TOLD_BYTES
        });
        let told = told.count();
        Ok(last.into_iter().rev().take(told).rev().collect())
    }

    /// Adds what a task said; once, also if the task runs again.
    pub(crate) async fn append(
        &self,
        user: &str,
        session: &str,
        task: Uuid,
        messages: &[ChatMessage],
    ) -> Result<(), Down> {
        match self {
            Self::Redis(redis) => redis.append(user, session, task, messages).await,
            Self::Memory(memory) => memory.append(user, session, task, messages).await,
        }
    }
}
