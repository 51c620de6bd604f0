use std::fmt;
use std::hash::{Hash, Hasher};

use http::uri::{InvalidUri, PathAndQuery};
use http::{Request, Uri};

/// A method by its path, `/pkg.Service/Method`: a key for a breaker per method.
///
/// Taking it from a request shares the request's own memory and allocates nothing. A clone is a copy of the name alone, so
/// that a set which keeps it (once per method) does not keep the rest of what the network sent.
pub struct MethodName(PathAndQuery);

/// A service by its name, `pkg.Service`: a key for a breaker per service.
///
/// Costs the same as a [`MethodName`].
pub struct ServiceName(PathAndQuery);

// === impl MethodName ===

impl MethodName {
    /// The method that a request calls.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self(path(request.uri()))
    }

    /// A name from a text such as `/pkg.Service/Method`.
    ///
    /// # Errors
    ///
    /// [`InvalidUri`] when it cannot be the path of a request.
    pub fn new(name: &str) -> Result<Self, InvalidUri> {
        name.parse().map(Self)
    }

    /// The path, without a query.
    pub fn as_str(&self) -> &str {
        self.0.path()
    }
}

impl Clone for MethodName {
    fn clone(&self) -> Self {
        Self(copy(self.as_str()).unwrap_or_else(|| self.0.clone()))
    }
}

// === impl ServiceName ===

impl ServiceName {
    /// The service that a request calls.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self(path(request.uri()))
    }

    /// A name from a text such as `pkg.Service`.
    ///
    /// # Errors
    ///
    /// [`InvalidUri`] when it cannot be part of the path of a request.
    pub fn new(name: &str) -> Result<Self, InvalidUri> {
        PathAndQuery::try_from(format!("/{name}/")).map(Self)
    }

    /// What stands between the first and the last slash of the path; all of it if there is only one.
    pub fn as_str(&self) -> &str {
        let path = self.0.path();
        let path = path.strip_prefix('/').unwrap_or(path);
        path.rsplit_once('/').map_or(path, |(service, _)| service)
    }
}

impl Clone for ServiceName {
    fn clone(&self) -> Self {
        Self::new(self.as_str()).unwrap_or_else(|_| Self(self.0.clone()))
    }
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

fn copy(path: &str) -> Option<PathAndQuery> {
    path.parse().ok()
}

macro_rules! by_name {
    ($key:ty) => {
        impl PartialEq for $key {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }

        impl Eq for $key {}

        impl Hash for $key {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl fmt::Display for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

by_name!(MethodName);
by_name!(ServiceName);
