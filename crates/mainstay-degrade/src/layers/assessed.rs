use std::sync::Arc;

use crate::Assessment;

/// Where a request has the assessment that all decisions for it are made by. [`Current`] looks nowhere, [`InExtensions`](crate::InExtensions)
/// where a [`DecisionLayer`](crate::DecisionLayer) puts it, and every `Fn(&Request) -> Option<Arc<Assessment>>` where it likes.
pub trait Assessed<Req> {
    /// The request's own assessment. Without one, it is the manager's of that moment.
    fn assessment(&self, request: &Req) -> Option<Arc<Assessment>>;
}

/// Requests have no assessment of their own: each decision is made by the manager's of its moment. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Current;

impl<Req> Assessed<Req> for Current {
    fn assessment(&self, _: &Req) -> Option<Arc<Assessment>> {
        None
    }
}

impl<F, Req> Assessed<Req> for F
where
    F: Fn(&Req) -> Option<Arc<Assessment>>,
{
    fn assessment(&self, request: &Req) -> Option<Arc<Assessment>> {
        self(request)
    }
}

#[cfg(feature = "http")]
impl<B> Assessed<http::Request<B>> for crate::InExtensions {
    fn assessment(&self, request: &http::Request<B>) -> Option<Arc<Assessment>> {
        request.extensions().get().cloned()
    }
}
