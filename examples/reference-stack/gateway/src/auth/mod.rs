//! Who asks: a bearer token or an API key becomes a [`Caller`]. Look at [`Auth::caller`].

mod api_key;
mod jwt;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};

pub use api_key::{ApiKeys, KeyTable, StaticKey};
pub use jwt::{Tokens, is_known_secret};

use crate::App;
use crate::problem::Problem;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose tasks, limits and idempotency keys these are.
    pub user: String,
    /// How much he may.
    pub tier: Tier,
}

/// How much a user may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The default.
    #[default]
    Free,
    /// More.
    Pro,
    /// Still more.
    Max,
    /// Companies.
    Enterprise,
    /// Those who look after it.
    Admin,
}

/// Finds out who asks.
#[derive(Debug)]
pub struct Auth {
    tokens: Tokens,
    keys: ApiKeys,
}

/// The most characters of a user's name.
const MAX_USER: usize = 255;

impl Auth {
    /// By tokens and keys.
    pub fn new(tokens: Tokens, keys: ApiKeys) -> Self {
        Self { tokens, keys }
    }

    /// Who asks. A bearer token goes before an API key.
    ///
    /// # Errors
    ///
    /// 401 if nobody says so, or wrongly; 503 if it cannot be known now.
    pub async fn caller(&self, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Problem> {
        let bearer = bearer(headers)?;
        let key = one(headers, "x-api-key")?;
        match (bearer, key) {
            // OpenAI's clients send every key as a bearer token.
            (Some(token), _) if !is_jwt(token) => self.keys.caller(token).await,
            (Some(token), _) => self.tokens.caller(token),
            (None, Some(key)) => self.keys.caller(key).await,
            (None, None) => match stream_token(uri) {
                Some(token) => self.tokens.caller(token),
                None => Err(Problem::unauthorized("A bearer token or an API key is needed.", None)),
            },
        }
    }
}

/// Lets nobody in whom it does not know; those behind find the [`Caller`] among the request's extensions.
pub async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = app.auth.caller(request.headers(), request.uri()).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = one(headers, header::AUTHORIZATION.as_str())? else { return Ok(None) };
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(Problem::unauthorized("The header Authorization is not of the form 'Bearer TOKEN'.", None)),
    }
}

/// A header that comes twice could mean one thing to us and another to a proxy.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::bad_request(format!("The header {name} comes more than once.")));
    }
    let readable = first.map(|value| value.to_str()).transpose();
    readable.map_err(|_| Problem::unauthorized("The credentials have characters that none have.", None))
}

/// A browser's `EventSource` can send no headers; so the token of a task's stream may stand in the query, and only there.
fn stream_token(uri: &Uri) -> Option<&str> {
    if !(uri.path().starts_with("/api/v1/tasks/") && uri.path().ends_with("/stream")) {
        return None;
    }
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("access_token=")).filter(|token| !token.is_empty())
}

/// Three parts, the first of which is JSON: no key is made like that.
fn is_jwt(token: &str) -> bool {
    token.starts_with("ey") && token.split('.').count() == 3
}

/// Users are part of keys and metadata: short, and without control characters.
fn is_user(user: &str) -> bool {
    !user.is_empty() && user.len() <= MAX_USER && !user.chars().any(char::is_control)
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Free, Self::Pro, Self::Max, Self::Enterprise, Self::Admin];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Max => "max",
            Self::Enterprise => "enterprise",
            Self::Admin => "admin",
        }
    }

    /// As it was written.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == text)
    }
}
