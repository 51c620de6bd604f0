//! What the caller calls a request, and what it is made of.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest key.
const LONGEST: usize = 255;
/// What ids of tasks are derived in.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_696e_7374_4179_a000_7461_736b_6964);

/// What the caller calls a request: 1 to 255 visible characters of ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// What a request is made of: a request with the same key and another fingerprint is a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// The key of a request, if it has one; looked at before its body is. A refusal is 400: for one that is none, and for two.
#[derive(Debug)]
pub struct Keyed(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for Keyed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        IdempotencyKey::of(&parts.headers).map(Self)
    }
}

impl IdempotencyKey {
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(key) = values.next() else { return Ok(None) };
        let is_key = (1..=LONGEST).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
        match key.to_str() {
            Ok(key) if is_key && values.next().is_none() => Ok(Some(Self(key.to_owned()))),
            _ => {
                Err(Problem::field("Idempotency-Key", "must be one key of 1 to 255 visible ASCII characters"))
            }
        }
    }

    /// Under which name it is in the store. Of one length, and nothing that a caller sent is in it.
    pub(super) fn name(&self, user: &str) -> String {
        format!("gateway:idempotency:{}", hex(&digest([user, &self.0])))
    }

    /// The id of the task that the request hands in. A store that has forgotten the key, after a day or a crash, still leads to the same
    /// task; another request under the key of an old one never gets the old one's. After so many that failed it is another one.
    pub(super) fn task(&self, user: &str, fingerprint: &Fingerprint, failed: u32) -> Uuid {
        let mut name = digest([user, &self.0]).to_vec();
        name.extend_from_slice(&fingerprint.0);
        if failed > 0 {
            name.extend_from_slice(&failed.to_be_bytes());
        }
        Uuid::new_v5(&NAMESPACE, &name)
    }
}

impl Fingerprint {
    /// Of the parts that make a request what it is.
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        Self(digest(parts))
    }

    pub(super) fn to_hex(&self) -> String {
        hex(&self.0)
    }
}

/// Each part with its length before it, so that nothing can move from one to the next.
fn digest<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
