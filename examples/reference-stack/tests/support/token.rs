use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::secret;

/// What tokens are signed with.
pub const JWT_SECRET: &str = "w7Kq2VxN9dRt4LhZ8sYpB3mGfC6jEuA1-of-the-tests";

/// A token of a user, for an hour.
pub fn token(user: &str, tier: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": user, "tier": tier, "exp": now + 3600 });
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    secret(&jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap())
}
