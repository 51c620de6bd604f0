//! API keys. Only their SHA-256 is kept: in a table, and in a cache of those that were good within the last hour.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay::Clock;
use mainstay::breaker::{Breaker, BreakerError};
use mainstay_postgres::GuardedPool;
use mainstay_postgres::sqlx;
use quick_cache::sync::Cache;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Caller, Tier, is_user};
use crate::problem::Problem;

/// For how long an answer is not asked for again.
const FRESH: Duration = Duration::from_secs(60);
/// For how long it holds while nobody can be asked.
const KNOWN: Duration = Duration::from_secs(60 * 60);
/// For how long a key is nobody's without asking again.
const UNKNOWN: Duration = Duration::from_secs(5);
/// How many are known at once, and how many are known to be nobody's.
const CACHED: usize = 10_000;
/// How many are looked up at once: whoever makes keys up shall not have the table to himself.
const LOOKUPS: usize = 8;
/// How long one more waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// The longest key that is looked at.
const MAX_KEY: usize = 512;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS api_keys (\
    key_sha256 TEXT PRIMARY KEY, user_id TEXT NOT NULL, tier TEXT NOT NULL DEFAULT 'free')";
const IS_THERE: &str = "SELECT to_regclass('api_keys') IS NOT NULL";
const FIND: &str = "SELECT user_id, tier FROM api_keys WHERE key_sha256 = $1";

/// A key that the environment names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticKey {
    hash: String,
    caller: Caller,
}

/// Knows whose an API key is.
#[derive(Debug)]
pub struct ApiKeys {
    fixed: Vec<StaticKey>,
    table: KeyTable,
    known: Cache<String, Known>,
    /// Since when a key is nobody's.
    unknown: Cache<String, Duration>,
    lookups: Semaphore,
    clock: Clock,
}

#[derive(Debug, Clone)]
struct Known {
    caller: Caller,
    since: Duration,
}

/// Where the keys are.
#[derive(Clone)]
pub enum KeyTable {
    /// In PostgreSQL.
    Postgres(GuardedPool),
    /// In a file, behind the breaker of the same name.
    File {
        /// Where it is.
        path: PathBuf,
        /// The breaker `database`.
        breaker: Breaker,
        /// Opened with the first question.
        open: Arc<Mutex<Option<rusqlite::Connection>>>,
    },
}

/// The table could not be asked. What the driver said is in the log.
#[derive(Debug, thiserror::Error)]
#[error("the table of API keys cannot be asked")]
pub struct TableDown;

impl StaticKey {
    /// Reads `user:tier:sha256hex`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, ':');
        let (hash, tier, user) = (parts.next()?, Tier::parse(parts.next()?)?, parts.next()?);
        let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let caller = Caller { user: user.to_owned(), tier };
        (is_hash && is_user(user)).then(|| Self { hash: hash.to_ascii_lowercase(), caller })
    }
}

impl ApiKeys {
    /// Those of the environment and those of a table.
    pub fn new(fixed: Vec<StaticKey>, table: KeyTable, clock: Clock) -> Self {
        let (known, unknown) = (Cache::new(CACHED), Cache::new(CACHED));
        Self { fixed, table, known, unknown, lookups: Semaphore::new(LOOKUPS), clock }
    }

    /// Whose key it is.
    ///
    /// # Errors
    ///
    /// 401 if it is nobody's; 503 if the table cannot be asked and the key was not good within the last hour.
    pub async fn caller(&self, key: &str) -> Result<Caller, Problem> {
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(refuse());
        }
        let hash = hash(key);
        if let Some(fixed) = self.fixed.iter().find(|fixed| fixed.hash == hash) {
            return Ok(fixed.caller.clone());
        }
        if let Some(answer) = self.remembered(&hash) {
            return answer;
        }
        let place = timeout(TURN, self.lookups.acquire()).await;
        // Who was before us may have asked for the same.
        if let Some(answer) = self.remembered(&hash) {
            return answer;
        }
        let found = match &place {
            Ok(Ok(_)) => self.table.find(&hash).await,
            _ => Err(TableDown),
        };
        let now = self.clock.now();
        match found {
            Ok(Some(caller)) => {
                self.unknown.remove(&hash);
                self.known.insert(hash, Known { caller: caller.clone(), since: now });
                Ok(caller)
            }
            Ok(None) => {
                self.known.remove(&hash);
                self.unknown.insert(hash, now);
                Err(refuse())
            }
            Err(TableDown) => match self.known.get(&hash).filter(|known| self.age(known.since) < KNOWN) {
                Some(known) => Ok(known.caller),
                None => {
                    let detail = "API keys cannot be checked at the moment. Please try again later.";
                    Err(Problem::unavailable(detail, self.table.retry_after()))
                }
            },
        }
    }

    /// What was found out a moment ago.
    fn remembered(&self, hash: &str) -> Option<Result<Caller, Problem>> {
        if let Some(known) = self.known.get(hash).filter(|known| self.age(known.since) < FRESH) {
            return Some(Ok(known.caller));
        }
        let since = self.unknown.get(hash)?;
        (self.age(since) < UNKNOWN).then(|| Err(refuse()))
    }

    fn age(&self, since: Duration) -> Duration {
        self.clock.now().saturating_sub(since)
    }
}

impl KeyTable {
    /// Makes the table, if there is none.
    ///
    /// # Errors
    ///
    /// `TableDown`.
    pub async fn prepare(&self) -> Result<(), TableDown> {
        match self {
            Self::Postgres(pool) => {
                let is_there = sqlx::query_scalar::<_, bool>(IS_THERE).fetch_one(pool).await;
                // Where it is, nobody needs the right to make one.
                if !is_there.map_err(|error| down(&error))? {
                    sqlx::query(TABLE).execute(pool).await.map_err(|error| down(&error))?;
                }
            }
            Self::File { .. } => self.with_file("".to_owned(), |_, _| Ok(())).await?,
        }
        Ok(())
    }

    /// Whether it can be asked, for the health check.
    ///
    /// # Errors
    ///
    /// `TableDown`.
    pub async fn ping(&self) -> Result<(), TableDown> {
        match self {
            Self::Postgres(pool) => {
                sqlx::query("SELECT 1").execute(pool).await.map_err(|error| down(&error))?;
                Ok(())
            }
            Self::File { .. } => self.prepare().await,
        }
    }

    async fn find(&self, hash: &str) -> Result<Option<Caller>, TableDown> {
        let row: Option<(String, String)> = match self {
            Self::Postgres(pool) => {
                let query = sqlx::query_as(FIND).bind(hash).fetch_optional(pool);
                query.await.map_err(|error| down(&error))?
            }
            Self::File { .. } => {
                self.with_file(hash.to_owned(), |file, hash| {
                    file.query_row(FIND, [hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()
                })
                .await?
            }
        };
        let caller = |(user, tier): (String, String)| {
            is_user(&user).then(|| Caller { user, tier: Tier::parse(&tier).unwrap_or_default() })
        };
        Ok(row.and_then(caller))
    }

    /// One question to the file at a time, on a thread that may wait for the disk.
    async fn with_file<T: Send + 'static>(
        &self,
        hash: String,
        ask: impl FnOnce(&rusqlite::Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, TableDown> {
        let Self::File { path, breaker, open } = self else { return Err(TableDown) };
        let (path, open) = (path.clone(), open.clone());
        let work = move || {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            let file = match open.take() {
                Some(file) => file,
                None => open_file(&path)?,
            };
            let answer = ask(&file, &hash);
            *open = Some(file);
            answer
        };
        let asked = breaker.run(async {
            match tokio::task::spawn_blocking(work).await {
                Ok(answer) => answer,
                Err(_) => Err(rusqlite::Error::InvalidQuery),
            }
        });
        asked.await.map_err(|error: BreakerError<rusqlite::Error>| down(&error))
    }

    fn retry_after(&self) -> Duration {
        let breaker = match self {
            Self::Postgres(pool) => pool.breaker(),
            Self::File { breaker, .. } => breaker,
        };
        crate::problem::wait_for(breaker)
    }
}

fn open_file(path: &Path) -> rusqlite::Result<rusqlite::Connection> {
    if let Some(directory) = path.parent() {
        // What is wrong with it is told by the open that follows.
        let _ = std::fs::create_dir_all(directory);
    }
    let file = rusqlite::Connection::open(path)?;
    file.busy_timeout(Duration::from_secs(2))?;
    file.execute(TABLE, [])?;
    Ok(file)
}

/// The SHA-256 of a key, in hex.
fn hash(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn refuse() -> Problem {
    Problem::unauthorized("The API key is not known.", Some("invalid_token"))
}

fn down(error: &dyn std::error::Error) -> TableDown {
    tracing::warn!(%error, "the table of API keys cannot be asked");
    TableDown
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres(_) => "Postgres",
            Self::File { .. } => "File",
        })
    }
}
