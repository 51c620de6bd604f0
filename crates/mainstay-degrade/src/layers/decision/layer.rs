use std::fmt;

use tower_layer::Layer;

use super::DecisionService;
use crate::{DegradationManager, ExecutionMode, Mode};

/// Puts the [`Assessment`](crate::Assessment) of the moment, as an `Arc`, into the extensions of each request, so that all
/// decisions for one request are made by the same one; and says in the response's [headers](crate::headers) how things
/// were, and in what ways the answer is [`Degraded`](crate::Degraded).
/// Over gRPC these headers are the metadata that comes first, or with the status of a call that failed.
///
/// ```
/// use std::convert::Infallible;
/// use std::sync::Arc;
/// use http::{Request, Response};
/// use mainstay_degrade::{Assessment, DecisionLayer, DegradationManager};
/// use tower::{ServiceBuilder, service_fn};
///
/// let degrade = DegradationManager::builder().build()?;
/// let service = ServiceBuilder::new().layer(DecisionLayer::new(&degrade)).service(service_fn(
///     async |request: Request<()>| {
///         let assessment = request.extensions().get::<Arc<Assessment>>();
///         assert!(assessment.is_some());
///         Ok::<_, Infallible>(Response::new(()))
///     },
/// ));
/// # let _ = service;
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
///
/// A request that has an assessment keeps it, whoever put it there: of several such layers around each other the outermost decides by which
/// assessment, and it alone writes the headers. [`ShedLayer::assessed_by`](crate::ShedLayer::assessed_by) and
/// [`StaleLayer::assessed_by`](crate::StaleLayer::assessed_by) make those layers decide by it; they belong inside.
pub struct DecisionLayer<M: Mode = ExecutionMode> {
    degrade: DegradationManager<M>,
    names: bool,
}

impl<M: Mode> DecisionLayer<M> {
    /// Tells the assessments of a manager.
    pub fn new(degrade: &DegradationManager<M>) -> Self {
        Self { degrade: degrade.clone(), names: false }
    }

    /// Also says in the headers which breakers, checks and signals are the reason: for services that only your own call. Default: not,
    /// because the names say how the service is built.
    #[must_use]
    pub fn with_names(mut self) -> Self {
        self.names = true;
        self
    }
}

impl<S, M: Mode> Layer<S> for DecisionLayer<M> {
    type Service = DecisionService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        DecisionService { inner, degrade: self.degrade.clone(), names: self.names }
    }
}

impl<M: Mode> Clone for DecisionLayer<M> {
    fn clone(&self) -> Self {
        Self { degrade: self.degrade.clone(), names: self.names }
    }
}

impl<M: Mode> fmt::Debug for DecisionLayer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionLayer").field("names", &self.names).finish_non_exhaustive()
    }
}
