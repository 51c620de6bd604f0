//! Checks that are ready to use and need no driver.
//!
//! Each is a function that gives a [`Probe`](crate::Probe), with the rules that are recommended for its figures: a
//! [`Check`](crate::Check) begins with them, [`rule`](crate::Check::rule) adds more, and [`rules`](crate::Check::rules) puts
//! others in their place.
//!
//! ```
//! # #[cfg(all(feature = "system", feature = "tcp", unix))]
//! # fn example() -> Result<(), mainstay_health::ConfigError> {
//! use mainstay_health::{Check, HealthManager, Rule, checks};
//!
//! let health = HealthManager::builder("orchestrator")
//!     .check(Check::exclusive("wal-disk", checks::disk_space("/var/lib/orchestrator")).critical())
//!     .check(Check::internal("memory", checks::memory()))
//!     .check(Check::internal("runtime", checks::runtime_lag()).rules([Rule::above("lag_ms", 20.0, 10.0)]))
//!     .check(Check::shared("smtp", checks::tcp("smtp.example.org:25")))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Those of Redis, PostgreSQL, gRPC and HTTP are in `mainstay-redis`, `mainstay-postgres`, `mainstay-grpc` and
//! `mainstay-http`, in the module `health` of each.

#[cfg(feature = "system")]
mod cgroup;
#[cfg(all(feature = "system", unix))]
mod disk;
#[cfg(feature = "system")]
mod files;
#[cfg(feature = "tcp")]
mod lookup;
#[cfg(feature = "system")]
mod memory;
mod runtime;
#[cfg(feature = "tcp")]
mod tcp;

#[cfg(all(feature = "system", unix))]
pub use disk::disk_space;
#[cfg(feature = "tcp")]
pub use lookup::Lookup;
#[cfg(feature = "system")]
pub use memory::{memory, memory_at};
pub use runtime::runtime_lag;
#[cfg(feature = "tcp")]
pub use tcp::tcp;
