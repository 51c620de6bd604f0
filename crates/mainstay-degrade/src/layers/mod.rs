mod asked;
mod assessed;
#[cfg(feature = "http")]
mod decision;
mod degraded;
mod fallback;
#[cfg(feature = "http")]
mod marks;
mod observe;
mod shed;
mod stale;

pub use asked::Asked;
pub use assessed::{Assessed, Current};
#[cfg(feature = "http")]
pub use decision::{DecisionFuture, DecisionLayer, DecisionService, headers};
#[cfg(feature = "http")]
pub use degraded::InExtensions;
pub use degraded::{Degraded, Mark};
pub use fallback::{FallBackOn, FallbackFuture, FallbackLayer, FallbackService, Instead, Never, OnError};
#[cfg(feature = "http")]
pub use marks::Marks;
#[cfg(feature = "http")]
pub use observe::JudgeHttp;
pub use observe::{JudgeErrors, JudgeSources, ObserveFuture, ObserveLayer, ObserveService, UnlessDegraded};
#[cfg(feature = "http")]
pub use shed::ShedHttp;
pub use shed::{
    Criticality, OnShed, PassShed, Shed, ShedCounts, ShedError, ShedFuture, ShedLayer, ShedService, ShedWith,
};
#[cfg(feature = "http")]
pub use stale::KeepHttp;
pub use stale::{KeepOk, KeepUnlessDegraded, Keeping, StaleFuture, StaleLayer, StaleService, Worth};
