use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use mainstay::config::Secret;
use sha2::{Digest, Sha256};
use stack_openai::ApiError;
use subtle::ConstantTimeEq;

/// What callers must send; its hash, so that neither its bytes nor its length are told by the time that a comparison takes.
#[derive(Clone)]
pub(crate) struct Key(Option<Arc<[u8; 32]>>);

impl Key {
    pub(crate) fn new(key: Option<&Secret>) -> Self {
        Self(key.map(|key| Arc::new(Sha256::digest(key.expose()).into())))
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(expected) = &self.0 else { return true };
        let Some(sent) = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())) else {
            return false;
        };
        let sent: [u8; 32] = Sha256::digest(sent).into();
        sent.ct_eq(expected.as_slice()).into()
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Refuses who does not have the key.
pub(crate) async fn check(
    State(key): State<Key>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if key.admits(request.headers()) { Ok(next.run(request).await) } else { Err(ApiError::unauthorized()) }
}
