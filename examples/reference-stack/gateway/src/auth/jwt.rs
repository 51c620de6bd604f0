//! Bearer tokens. One algorithm is believed, HS256, whatever a token's head says.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::{Caller, Tier, is_user};
use crate::problem::Problem;
use crate::settings::JwtSettings;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 30;
/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// Secrets that stand in examples, in parts of them.
const KNOWN: [&str; 9] = [
    "changeme",
    "change-me",
    "change_me",
    "your-secret",
    "your_secret",
    "your-256-bit-secret",
    "supersecret",
    "super-secret",
    "development-only",
];

/// Reads tokens.
pub struct Tokens {
    key: DecodingKey,
    rules: Validation,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    tier: Tier,
}

impl Tokens {
    /// Those of one secret.
    pub fn new(settings: &JwtSettings) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.validate_aud = settings.audience.is_some();
        let mut required = vec!["exp", "sub"];
        if let Some(issuer) = &settings.issuer {
            rules.set_issuer(&[issuer]);
            required.push("iss");
        }
        if let Some(audience) = &settings.audience {
            rules.set_audience(&[audience]);
            required.push("aud");
        }
        rules.set_required_spec_claims(&required);
        Self { key: DecodingKey::from_secret(settings.secret.expose().as_bytes()), rules }
    }

    /// Whose token it is.
    ///
    /// # Errors
    ///
    /// 401, with what is wrong as far as that helps only the token's owner.
    pub fn caller(&self, token: &str) -> Result<Caller, Problem> {
        if token.len() > LONGEST {
            return Err(refuse(&ErrorKind::InvalidToken));
        }
        let read = jsonwebtoken::decode::<Claims>(token, &self.key, &self.rules);
        let claims = read.map_err(|error| refuse(error.kind()))?.claims;
        if !is_user(&claims.sub) {
            return Err(refuse(&ErrorKind::InvalidToken));
        }
        Ok(Caller { user: claims.sub, tier: claims.tier })
    }
}

fn refuse(kind: &ErrorKind) -> Problem {
    let detail = match kind {
        ErrorKind::ExpiredSignature => "The token has expired.",
        ErrorKind::ImmatureSignature => "The token is not valid yet.",
        ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience => "The token is not for this service.",
        ErrorKind::MissingRequiredClaim(_) => "The token lacks a claim: exp and sub are needed.",
        _ => "The token is not valid.",
    };
    Problem::unauthorized(detail, Some("invalid_token"))
}

/// Whether a secret is one that stands in examples.
pub fn is_known_secret(secret: &str) -> bool {
    let secret = secret.to_ascii_lowercase();
    KNOWN.iter().any(|known| secret.contains(known))
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}
