//! `Idempotency-Key`: a request that comes twice runs once. Look at [`Idempotency::begin`].
//!
//! Two things see to that. The first request holds a lock in the store, which it renews, and which expires when its gateway dies; a second
//! one waits for the stored response. And the task's id is made of user, key and content, so that whoever runs the request again, on whatever gateway,
//! hands in the same task, which the orchestrators run once. Only when that task has failed the next request with the key is another try.

mod key;
mod lease;
mod memory;
mod record;
mod redis;

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub use key::{Fingerprint, IdempotencyKey, Keyed};
pub use lease::Lease;
pub use memory::MemoryStore;
pub use redis::RedisStore;

use self::record::{Answer, Record};
use crate::auth::Caller;
use crate::body::Room;
use crate::degraded;
use crate::problem::Problem;
use crate::settings::{Times, WhenRedisIsDown};

/// How long a response is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause of a request that waits for another; each one is half as long again.
const PAUSE: Duration = Duration::from_millis(40);
/// The last.
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// Where locks and responses are.
#[derive(Debug, Clone)]
pub enum Store {
    /// In Redis, for all gateways.
    Redis(RedisStore),
    /// In memory, behind the breaker of the same name.
    Memory(MemoryStore),
}

/// The store could not be asked. What the driver said is in the log.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the store of idempotency keys cannot be asked")]
pub struct StoreDown;

/// Sees to it that requests with a key run once.
#[derive(Debug)]
pub struct Idempotency {
    store: Store,
    policy: WhenRedisIsDown,
    wait: Duration,
    lease: Duration,
    /// The memory for bodies whose requests wait for another.
    waiting: Semaphore,
}

/// Whose turn it is.
#[derive(Debug)]
pub enum Turn {
    /// This request's: it runs.
    First(First),
    /// It has run, and this was the response.
    Stored(Box<Response>),
    /// It has run, and its response was the stream of this task.
    Stream(Uuid),
}

/// A request that runs.
#[derive(Debug)]
pub struct First {
    task: Uuid,
    lease: Option<Lease>,
    /// It has a key, and nobody could be asked for it.
    unguarded: bool,
}

impl Idempotency {
    /// With locks and responses in a store. Requests that wait for another take half of the memory for bodies at most, so that they hold up
    /// nobody who need not wait.
    pub fn new(store: Store, policy: WhenRedisIsDown, times: &Times, body_memory: usize) -> Self {
        let waiting = Semaphore::new(body_memory / 2);
        Self { store, policy, wait: times.idempotency_wait, lease: times.idempotency_lease, waiting }
    }

    /// Finds out whose turn it is. Without a key it is always the request's. Whether a task whose stream was the response has failed
    /// since, `has_failed` says.
    ///
    /// # Errors
    ///
    /// 409 if the first request is still running after the wait, or if too many wait already; 422 if it was another one, 503 if the store cannot be asked.
    pub async fn begin<F: Future<Output = bool>>(
        &self,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
        fingerprint: Fingerprint,
        room: &Room,
        has_failed: impl Fn(Uuid) -> F,
    ) -> Result<Turn, Problem> {
        let Some(key) = key else { return Ok(Turn::First(First::new(Uuid::new_v4()))) };
        let task = |failed| key.task(&caller.user, &fingerprint, failed);
        let name = key.name(&caller.user);
        let mine = Record::running(&fingerprint).to_json();
        let deadline = Instant::now() + self.wait;
        let mut pause = PAUSE;
        let mut place = None;
        loop {
            let found = match self.store.begin(&name, &mine, self.lease).await {
                Ok(None) => return Ok(Turn::First(self.first(task(0), name, mine))),
                Ok(Some(found)) => found,
                Err(StoreDown) if self.policy == WhenRedisIsDown::Allow => {
                    return Ok(Turn::First(First { unguarded: true, ..First::new(task(0)) }));
                }
                Err(StoreDown) => return Err(self.refuse()),
            };
            match Record::from_json(&found) {
                Some(record) if !record.is_of(&fingerprint) => return Err(mixed_up()),
                Some(Record { answer: Some(Answer::Whole(whole)), .. }) => {
                    return Ok(Turn::Stored(Box::new(whole.into_response())));
                }
                Some(Record { answer: Some(Answer::Stream { task }), .. }) if !has_failed(task).await => {
                    return Ok(Turn::Stream(task));
                }
                Some(failed @ Record { answer: Some(_), .. }) => {
                    // If this try comes to nothing, because its caller hangs up or its gateway dies, the next one is not the first again.
                    let below = failed.of_failed().to_json();
                    let again = failed.again();
                    let (task, again) = (task(again.failed), again.to_json());
                    let covered = self.store.cover(&name, &found, (&below, KEPT), (&again, self.lease));
                    // Of several that find it, one is the next.
                    if let Ok(true) = covered.await {
                        return Ok(Turn::First(self.first(task, name, again)));
                    }
                }
                // It runs, or was written by a gateway of another version: then it expires.
                Some(Record { answer: None, .. }) | None => {}
            }
            if Instant::now() + pause > deadline {
                return Err(still_running());
            }
            if place.is_none() {
                place = Some(self.waiting.try_acquire_many(room.bytes()).map_err(|_| still_running())?);
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// A request that runs under the lock that stands in the store.
    fn first(&self, task: Uuid, name: String, mine: String) -> First {
        let lease = Lease::new(self.store.clone(), name, mine, self.lease);
        First { lease: Some(lease), ..First::new(task) }
    }

    fn refuse(&self) -> Problem {
        let detail =
            "Requests with an Idempotency-Key cannot be taken at the moment. Please try again later.";
        Problem::unavailable(detail, self.store.retry_after()).without_asking()
    }
}

impl First {
    fn new(task: Uuid) -> Self {
        Self { task, lease: None, unguarded: false }
    }

    /// The id of the task that this request hands in.
    pub fn task(&self) -> Uuid {
        self.task
    }

    /// Keeps the response if it is good, for those who send the request again, and gives it back. Of a task that failed only that is kept.
    pub async fn keep(self, mut response: Response) -> Response {
        if self.unguarded {
            degraded::say(&mut response, "minor", "idempotency_unguarded");
        }
        let Some(lease) = self.lease else { return response };
        if !response.status().is_success() {
            let problem = response.extensions().get::<Problem>();
            match problem.is_some_and(Problem::is_of_failed_task) {
                true => lease.keep(Answer::Failed, KEPT).await,
                false => lease.release().await,
            }
            return response;
        }
        let (record, response) = record::Whole::of(response).await;
        match record {
            Some(whole) => lease.keep(Answer::Whole(whole), KEPT).await,
            None => lease.release().await,
        }
        response
    }

    /// Keeps it that the response is the stream of the task.
    pub async fn keep_stream(self, mut response: Response) -> Response {
        if self.unguarded {
            degraded::say(&mut response, "minor", "idempotency_unguarded");
        }
        if let Some(lease) = self.lease {
            lease.keep(Answer::Stream { task: self.task }, KEPT).await;
        }
        response
    }
}

/// Says of a response that it was given before.
pub fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

/// Under which name a request has what counts once the record under its own is gone.
fn below(name: &str) -> String {
    format!("{name}:below")
}

fn mixed_up() -> Problem {
    let detail = "This Idempotency-Key was used for another request.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail).code("idempotency_key_reused")
}

fn still_running() -> Problem {
    let detail = "The first request with this Idempotency-Key is still running.";
    Problem::new(StatusCode::CONFLICT, detail)
        .retry_after(Duration::from_secs(1))
        .code("idempotency_in_progress")
}

impl Store {
    /// Puts a record there, if there is none: then none is returned.
    async fn begin(&self, name: &str, record: &str, lease: Duration) -> Result<Option<String>, StoreDown> {
        match self {
            Self::Redis(store) => store.begin(name, record, lease).await,
            Self::Memory(store) => store.begin(name, record, lease).await,
        }
    }

    /// Puts another record (or none) in the place of this one, if it is still there; tells whether it was.
    async fn replace(
        &self,
        name: &str,
        mine: &str,
        by: Option<&str>,
        lease: Duration,
    ) -> Result<bool, StoreDown> {
        match self {
            Self::Redis(store) => store.replace(name, mine, by, lease).await,
            Self::Memory(store) => store.replace(name, mine, by, lease).await,
        }
    }

    /// Puts a lock in the place of this record, if it is still there, and below it what counts again when the lock is gone.
    async fn cover(
        &self,
        name: &str,
        found: &str,
        below: (&str, Duration),
        lock: (&str, Duration),
    ) -> Result<bool, StoreDown> {
        match self {
            Self::Redis(store) => store.cover(name, found, below, lock).await,
            Self::Memory(store) => store.cover(name, found, below, lock).await,
        }
    }

    fn retry_after(&self) -> Duration {
        crate::problem::wait_for(match self {
            Self::Redis(store) => store.breaker(),
            Self::Memory(store) => store.breaker(),
        })
    }
}
