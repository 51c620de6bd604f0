//! What the gateway keeps in Redis, asked for on two routes: `/guarded/cached` through a breaker and `/unguarded/cached`
//! past it, with the same client and the same deadline.

use anyhow::Context;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mainstay::breaker::Breaker;
use mainstay_redis::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use mainstay_redis::redis::{AsyncTypedCommands, Client, RedisError};
use mainstay_redis::{Guarded, rejected};

use crate::lab::gateway::TIMEOUT;
use crate::lab::guard;
use crate::lab::phase::Route;

/// The key that is asked for. It need not be there: a missing key is an answer like any other.
const KEY: &str = "greeting";

/// Two connections to one Redis.
#[derive(Clone)]
pub(crate) struct Cache {
    guarded: Guarded<ConnectionManager>,
    unguarded: ConnectionManager,
}

/// What became of a call.
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// Redis was asked.
    pub(crate) sent: bool,
}

// === impl Cache ===

impl Cache {
    /// Connects, twice.
    pub(crate) async fn connect(url: &str, breaker: Breaker) -> anyhow::Result<Self> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(0);
        let connect = || async {
            let connected = ConnectionManager::new_with_config(client.clone(), config.clone()).await;
            connected.with_context(|| format!("connecting to {url}"))
        };
        let guarded = Guarded::new(connect().await?, breaker).deadline(TIMEOUT);
        Ok(Self { guarded, unguarded: connect().await? })
    }

    /// Asks Redis by one of the two ways.
    pub(crate) async fn get(&self, route: Route) -> Answer {
        let got = match route {
            Route::Guarded => self.guarded.clone().get(KEY).await,
            Route::Unguarded => self.unguarded.clone().get(KEY).await,
        };
        Answer { sent: !got.as_ref().is_err_and(|error| rejected(error).is_some()), response: respond(got) }
    }
}

fn respond(got: Result<Option<String>, RedisError>) -> Response {
    match got {
        Ok(value) => value.unwrap_or_default().into_response(),
        Err(error) => match rejected(&error) {
            Some(rejected) => guard::turned_away(rejected),
            None if error.is_timeout() => (StatusCode::GATEWAY_TIMEOUT, format!("{error}\n")).into_response(),
            None => (StatusCode::BAD_GATEWAY, format!("{error}\n")).into_response(),
        },
    }
}
