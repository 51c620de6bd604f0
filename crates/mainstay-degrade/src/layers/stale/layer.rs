use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::StaleService;
use super::store::Store;
use crate::{Current, DegradationManager, ExecutionMode, Mode};

/// Answers with the last good answer to the same question, when the inner service fails, or an operation is to
/// [use what was answered before](crate::Behavior::UseCache); and the answer says so.
///
/// ```
/// use http::{Request, Response};
/// use mainstay_degrade::{DegradationManager, KeepHttp, StaleLayer};
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let degrade = DegradationManager::builder().build()?;
/// let layer = StaleLayer::new(&degrade, KeepHttp::new(), |request: &Request<()>| Some(request.uri().to_string()))
///     .operation("catalogue")
///     .max_staleness(Duration::from_secs(600));
/// let service = ServiceBuilder::new()
///     .layer(layer)
///     .service(service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new("books"))));
/// let response = service.oneshot(Request::new(())).await?;
/// assert_eq!(*response.body(), "books");
/// # Ok(())
/// # }
/// ```
///
/// The key must hold all that the answer depends on, also who asks if that matters; there is no default. While all is well every request
/// goes to the inner service: this is no cache. Once one fails, or while the operation is to use what was answered before,
/// requests for a key that has an answer get that at once, and of them one at a time, now and then, asks the inner service
/// again. A key without an answer is asked for as if this layer were not there.
///
/// A request whose caller gives up before the answer is there, as an outer time-out does, counts as one that failed if there is an answer
/// that was kept: else a service that hangs would never be known to fail. So the first requests wait for it in vain, and from the first that
/// was given up on, requests get what was kept. Of results the one that was asked for last says whether the inner service
/// fails, in whatever order they come; and what was taken back stays so, whatever comes later that was asked for earlier.
///
/// Such a service is always ready, and asks a clone of the inner one, which waits in the request's future until it is ready; one that
/// cannot become ready has failed. So what is answered from before neither waits for an inner service that is busy nor holds what that
/// reserved, such as a permit of a limit of concurrency. What is to hold callers back belongs outside of it.
pub struct StaleLayer<F, Key, T, P, M: Mode = ExecutionMode, A = Current> {
    pub(super) degrade: DegradationManager<M>,
    pub(super) operation: Option<Arc<str>>,
    pub(super) keeping: P,
    pub(super) key: F,
    pub(super) store: Arc<Store<Key, T>>,
    pub(super) max_staleness: Duration,
    pub(super) refresh_every: Duration,
    pub(super) assessed: A,
}

impl<F, Key: Eq + Hash + Clone, T, P, M: Mode> StaleLayer<F, Key, T, P, M> {
    /// Keeps answers by a key that a closure takes from `&Request`; nothing for requests for which it says `None`. What may be kept is the word
    /// of a [`Keeping`](crate::Keeping).
    pub fn new(degrade: &DegradationManager<M>, keeping: P, key: F) -> Self {
        Self {
            degrade: degrade.clone(),
            operation: None,
            keeping,
            key,
            store: Arc::new(Store::new(10_000)),
            max_staleness: Duration::from_secs(300),
            refresh_every: Duration::from_secs(5),
            assessed: Current,
        }
    }
}

impl<F, Key: Eq + Hash + Clone, T, P, M: Mode, A> StaleLayer<F, Key, T, P, M, A> {
    /// The operation that this is: while its behavior is to use what was answered before, that is done. Default: none, so that only failures
    /// lead there.
    #[must_use]
    pub fn operation(mut self, operation: &str) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// How old an answer may be, from when it was asked for. Older ones are never given. Default: 5 min.
    #[must_use]
    pub fn max_staleness(mut self, max_staleness: Duration) -> Self {
        self.max_staleness = max_staleness;
        self
    }

    /// How long the inner service is not asked again for a key, while answers of before are given. Default: 5 s.
    #[must_use]
    pub fn refresh_every(mut self, refresh_every: Duration) -> Self {
        self.refresh_every = refresh_every;
        self
    }

    /// How many keys are kept at most; those that are asked for least go first. At least 1. Forgets what was kept. Default: 10,000.
    ///
    /// A key whose answers were taken back has a place among them for a while. One that is asked for again at the moment does not go,
    /// so that there may be more for as long as so many are. Bytes are not counted: they are so many times those of the largest answer at
    /// most, so let a [`Keeping`](crate::Keeping) of your own pass what is too large for that.
    #[must_use]
    pub fn max_entries(mut self, max_entries: usize) -> Self {
        self.store = Arc::new(Store::new(max_entries));
        self
    }

    /// Where requests have an assessment of their own: [`InExtensions`](crate::InExtensions) inside of a
    /// [`DecisionLayer`](crate::DecisionLayer), or a closure. See [`Assessed`](crate::Assessed). Default: nowhere, so that the manager's
    /// decides.
    pub fn assessed_by<B>(self, assessed: B) -> StaleLayer<F, Key, T, P, M, B> {
        let Self { degrade, operation, keeping, key, store, max_staleness, refresh_every, .. } = self;
        StaleLayer { degrade, operation, keeping, key, store, max_staleness, refresh_every, assessed }
    }

    /// How many keys have an answer now. Looks at each of them.
    pub fn entries(&self) -> usize {
        self.store.len()
    }
}

impl<S, F: Clone, Key, T, P: Clone, M: Mode, A: Clone> Layer<S> for StaleLayer<F, Key, T, P, M, A> {
    type Service = StaleService<S, F, Key, T, P, M, A>;

    fn layer(&self, inner: S) -> Self::Service {
        StaleService { inner, options: self.clone() }
    }
}

impl<F: Clone, Key, T, P: Clone, M: Mode, A: Clone> Clone for StaleLayer<F, Key, T, P, M, A> {
    fn clone(&self) -> Self {
        Self {
            degrade: self.degrade.clone(),
            operation: self.operation.clone(),
            keeping: self.keeping.clone(),
            key: self.key.clone(),
            store: self.store.clone(),
            max_staleness: self.max_staleness,
            refresh_every: self.refresh_every,
            assessed: self.assessed.clone(),
        }
    }
}

/// Neither keys nor answers: they are the users'.
impl<F, Key, T, P, M: Mode, A> fmt::Debug for StaleLayer<F, Key, T, P, M, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleLayer")
            .field("operation", &self.operation)
            .field("max_staleness", &self.max_staleness)
            .field("refresh_every", &self.refresh_every)
            .finish_non_exhaustive()
    }
}
