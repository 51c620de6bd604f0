use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Error, PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::GuardedPool;
use crate::error::given_up;
use crate::verdict::breaks_connection;

/// A connection of the pool, lent for a while, and what is known of it.
///
/// Dropped, it goes back to the pool if it is sound, and is closed at once if it is not. On its way back sqlx asks the
/// server whether all is well, and waits for the answer as long as it takes, with the pool's permit in hand: a network
/// that swallows packets just then would take one connection after the other out of the pool for good. So the guard
/// takes it back itself, by the method that sqlx's own drop calls, and only as long as the statement deadline lasts, or
/// five seconds. It closes it by dropping it: no goodbye that might not get through, no task, no five seconds to wait for it.
pub(crate) struct Lease<H: Borrow<GuardedPool>> {
    conn: PoolConnection<Postgres>,
    state: State,
    keep: bool,
    host: H,
}

/// What sqlx allows for a goodbye. The way back is one question and its answer, and a rollback is quick.
const LONGEST_RETURN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is under way.
    Sound,
    /// In the middle of a statement. The driver reads on to its end before the next one.
    Busy,
    /// Of no more use.
    GivenUp,
}

// === impl Lease ===

impl<H: Borrow<GuardedPool>> Lease<H> {
    /// A connection that the guard has counted as lent.
    pub(crate) fn new(host: H, conn: PoolConnection<Postgres>) -> Self {
        Self { conn, state: State::Sound, keep: true, host }
    }

    pub(crate) fn guard(&self) -> &GuardedPool {
        self.host.borrow()
    }

    /// The connection, for a statement. Until [`finish`](Self::finish) it is in the middle of it.
    pub(crate) fn start(&mut self) -> Result<&mut PgConnection, Error> {
        self.enter(State::Busy)
    }

    /// The connection, for what must not be left half done: until [`finish`](Self::finish) it is given up.
    pub(crate) fn start_or_give_up(&mut self) -> Result<&mut PgConnection, Error> {
        self.enter(State::GivenUp)
    }

    fn enter(&mut self, state: State) -> Result<&mut PgConnection, Error> {
        self.check()?;
        self.state = state;
        Ok(&mut self.conn)
    }

    /// A statement came to its end.
    pub(crate) fn finish<T>(&mut self, result: &Result<T, Error>) {
        self.state = match result {
            Err(error) if breaks_connection(error) => State::GivenUp,
            _ => State::Sound,
        };
    }

    pub(crate) fn give_up(&mut self) {
        self.state = State::GivenUp;
    }

    /// Refuses a connection that was given up.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.state == State::GivenUp { Err(given_up()) } else { Ok(()) }
    }

    /// Has it closed when it is dropped; it is of use until then.
    pub(crate) fn close_on_drop(&mut self) {
        self.keep = false;
    }

    pub(crate) fn conn(&self) -> &PgConnection {
        &self.conn
    }

    /// Past the guard.
    pub(crate) fn conn_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}

impl<H: Borrow<GuardedPool>> Drop for Lease<H> {
    fn drop(&mut self) {
        let guard = self.host.borrow();
        guard.occupancy().take_back();
        // The future has the connection from here on, and the pool's permit: whoever drops it drops them.
        let back = self.conn.return_to_pool();
        if self.keep
            && self.state == State::Sound
            && let Ok(runtime) = Handle::try_current()
        {
            let limit = guard.deadlines().statement.min(LONGEST_RETURN);
            runtime.spawn(async move { timeout(limit, back).await });
        }
    }
}

impl<H: Borrow<GuardedPool>> fmt::Debug for Lease<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("state", &self.state).finish_non_exhaustive()
    }
}
