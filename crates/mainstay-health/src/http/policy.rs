use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::request::Parts;

/// Who is shown messages, error texts and details, which may hold hosts, users, or worse. The default is nobody.
///
/// ```
/// use mainstay_health::http::DetailsPolicy;
///
/// // On a port of its own, that only operators reach:
/// let policy = DetailsPolicy::Always;
/// // Or where a layer of yours in front has marked the request:
/// # #[derive(Clone)] struct Operator;
/// let policy = DetailsPolicy::when(|request| request.extensions.get::<Operator>().is_some());
/// ```
///
/// A header by itself is no proof of anything: everybody can send it.
#[derive(Clone, Debug, Default)]
pub enum DetailsPolicy {
    /// Nobody.
    #[default]
    Never,
    /// Everybody.
    Always,
    /// Those whose request the closure says yes to. See [`when`](Self::when).
    When(Allows),
}

/// The closure of a [`DetailsPolicy::When`].
#[derive(Clone)]
pub struct Allows(Arc<dyn Fn(&Parts) -> bool + Send + Sync>);

impl DetailsPolicy {
    /// Those whose request `allows` says yes to. It is asked for each request whose answer may hold any; if it panics, that is
    /// a no.
    pub fn when(allows: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        Self::When(Allows(Arc::new(allows)))
    }

    pub(crate) fn allows(&self, request: &Parts) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::When(Allows(allows)) => catch_unwind(AssertUnwindSafe(|| allows(request))).unwrap_or(false),
        }
    }
}

impl fmt::Debug for Allows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Allows(..)")
    }
}
