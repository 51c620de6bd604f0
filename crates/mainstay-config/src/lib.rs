//! Settings from a YAML file and the environment: strictly read, every mistake told at once with its line, every value with
//! its origin.
//!
//! ```
//! use mainstay_config::{Environment, Loader};
//!
//! let file = "
//! circuit_breakers:
//!   redis:
//!     open_fro: 10s
//!     max_requests: many
//! ";
//! let environment = Environment::from_iter([("CB_REDIS_TIMEOUT", "15")]);
//! let errors = Loader::new().text("mainstay.yaml", file).environment(environment).load().unwrap_err();
//! assert_eq!(errors.to_string(), "\
//! mainstay.yaml:4:5: circuit_breakers.redis.open_fro: found the unknown key `open_fro`, expected a known key
//!   did you mean `open_for`?
//! mainstay.yaml:5:19: circuit_breakers.redis.max_requests: found \"many\", expected a whole number from 1 to 1024
//! CB_REDIS_TIMEOUT: circuit_breakers.redis.timeout: found 15, expected a duration with a unit, such as 250ms, 30s or 1h30m, \
//! longer than zero and at most 365days
//!   a unit is missing: did you mean `15s` or `15ms`?");
//! ```
//!
//! - [`Loader`] reads files and an [`Environment`]; [`SettingErrors`] is everything that is wrong.
//! - [`Loaded`] has the [`Settings`], shows them with their [`Origin`]s, compares them, and has their [`Fingerprint`].
//! - [`Section`] reads what is the program's own, and validates what a service needs to start.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod behaviors;
mod breakers;
mod canonical;
mod check;
mod degradation;
mod effective;
mod environment;
mod error;
mod files;
mod fingerprint;
mod flat;
mod health;
mod keys;
mod loaded;
mod loader;
mod merge;
mod modes;
mod node;
mod origin;
mod path;
mod reference;
mod schema;
mod secret;
mod section;
mod settings;
mod shape;
mod show;
mod thresholds;
mod variables;
mod visible;
mod warning;
mod yaml;

pub use breakers::BreakerSettings;
pub use degradation::DegradationSettings;
pub use effective::Effective;
pub use environment::Environment;
pub use error::{EX_CONFIG, SettingError, SettingErrors};
pub use files::FileWatch;
pub use fingerprint::Fingerprint;
pub use flat::Change;
pub use health::{CheckOverrides, HealthSettings};
pub use loaded::Loaded;
pub use loader::Loader;
pub use mainstay_core::Name;
pub use origin::Origin;
pub use secret::Secret;
pub use section::{Field, Section};
pub use settings::Settings;
pub use warning::Warning;

/// The README's example, and the guide's.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../../../docs/guide/settings.md")]
    mod settings {}
}
