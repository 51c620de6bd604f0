use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mainstay::breaker::Breaker;
use mainstay::health::{IntoProbe, Probe, source};
use quick_cache::sync::Cache;
use stack_openai::ChatMessage;
use uuid::Uuid;

use super::{Down, KEPT, KEPT_BYTES, KEPT_FOR, TASKS, TOLD};

/// The most sessions in memory; those that were not used for longest go first.
const SESSIONS: usize = 1_000;

#[derive(Clone)]
pub(crate) struct Memory {
    /// By user and name.
    sessions: Arc<Cache<(String, String), Shared>>,
    breaker: Breaker,
}

type Shared = Arc<Mutex<Session>>;

struct Session {
    messages: VecDeque<ChatMessage>,
    /// The tasks that said what is there.
    tasks: VecDeque<Uuid>,
    used: Instant,
}

impl Memory {
    pub(super) fn new(breaker: Breaker) -> Self {
        Self { sessions: Arc::new(Cache::new(SESSIONS)), breaker }
    }

    pub(super) fn check(&self) -> Probe {
        source(self.breaker.clone()).into_probe()
    }

    pub(super) async fn last(&self, user: &str, session: &str) -> Result<Vec<ChatMessage>, Down> {
        self.guarded(|| {
            let Some(session) = self.sessions.get(&(user.to_owned(), session.to_owned())) else {
                return Vec::new();
            };
            let session = session.lock().unwrap_or_else(PoisonError::into_inner);
            if session.used.elapsed() > KEPT_FOR {
                return Vec::new();
            }
            let skip = session.messages.len().saturating_sub(TOLD);
            session.messages.iter().skip(skip).cloned().collect()
        })
        .await
    }

    pub(super) async fn append(
        &self,
        user: &str,
        session: &str,
        task: Uuid,
        messages: &[ChatMessage],
    ) -> Result<(), Down> {
        self.guarded(|| {
            let new = || Ok::<_, Infallible>(Arc::new(Mutex::new(Session::new())));
            let key = (user.to_owned(), session.to_owned());
            let Ok(session) = self.sessions.get_or_insert_with(&key, new);
            session.lock().unwrap_or_else(PoisonError::into_inner).append(task, messages);
        })
        .await
    }

    /// Nothing here can fail, but an operator may force the breaker open.
    async fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, Down> {
        self.breaker.run(async { Ok::<_, Infallible>(work()) }).await.map_err(|_| Down)
    }
}

impl Session {
    fn new() -> Self {
        Self { messages: VecDeque::new(), tasks: VecDeque::new(), used: Instant::now() }
    }

    fn append(&mut self, task: Uuid, messages: &[ChatMessage]) {
        if self.used.elapsed() > KEPT_FOR {
            *self = Self::new();
        }
        self.used = Instant::now();
        if self.tasks.contains(&task) {
            return;
        }
        self.tasks.push_back(task);
        self.messages.extend(messages.iter().cloned());
        let mut bytes: usize = self.messages.iter().map(|message| message.text().len()).sum();
        while self.messages.len() > KEPT || bytes > KEPT_BYTES {
            let Some(oldest) = self.messages.pop_front() else { break };
            bytes = bytes.saturating_sub(oldest.text().len());
        }
        let over = self.tasks.len().saturating_sub(TASKS);
        self.tasks.drain(..over);
    }
}
