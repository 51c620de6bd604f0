use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::fault::cut;
use crate::{BoxError, CheckError, ErrorClass, Reason, Status};

/// What one run of a check found.
///
/// ```
/// use mainstay_health::CheckOutcome;
///
/// let outcome = CheckOutcome::degraded("the pool is crowded").detail("in_use", 24).detail("max", 25);
/// assert_eq!(outcome.status(), mainstay_health::Status::Degraded);
/// ```
#[derive(Debug)]
#[must_use]
pub struct CheckOutcome {
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    pub(crate) message: Option<Arc<str>>,
    pub(crate) error: Option<Cause>,
    pub(crate) details: Details,
}

pub(crate) enum Cause {
    Raw(BoxError),
    Classified(CheckError),
}

/// What a check may return: `()`, a [`Status`], a [`CheckOutcome`], or a `Result` of one of them with any error.
pub trait IntoOutcome {
    /// As an outcome.
    fn into_outcome(self) -> CheckOutcome;
}

/// Figures that belong to a result: a small JSON map. At most 32 entries and 4 KiB, one of them kept for the entry `truncated`,
/// which says that something more was left out.
#[derive(Clone, Default, PartialEq)]
pub struct Details(Option<Arc<Inner>>);

#[derive(Clone, Default, PartialEq)]
struct Inner {
    map: Map<String, Value>,
    bytes: usize,
}

// === impl CheckOutcome ===

impl CheckOutcome {
    fn new(status: Status, reason: Reason) -> Self {
        Self { status, reason, message: None, error: None, details: Details::default() }
    }

    /// It does what it is for.
    pub fn healthy() -> Self {
        Self::new(Status::Healthy, Reason::Passed)
    }

    /// It answers, but not as it should.
    pub fn degraded(message: impl Into<String>) -> Self {
        Self::new(Status::Degraded, Reason::Reported).message(message)
    }

    /// It does not do what it is for.
    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self::new(Status::Unhealthy, Reason::Reported).message(message)
    }

    /// Nothing was learned by this run: the last result stands until it is stale.
    pub fn unknown() -> Self {
        Self::new(Status::Unknown, Reason::NotYet)
    }

    /// Unhealthy because of an error, whose class the check's classifier finds out, unless it is a [`CheckError`].
    pub fn failed(error: impl Into<BoxError>) -> Self {
        let mut outcome = Self::new(Status::Unhealthy, Reason::Error);
        outcome.error = Some(match error.into().downcast() {
            Ok(error) => Cause::Classified(*error),
            Err(error) => Cause::Raw(error),
        });
        outcome
    }

    /// The same, with a reason of our own.
    pub(crate) fn because(status: Status, reason: Reason) -> Self {
        Self::new(status, reason)
    }

    /// Says what the matter is; 2 KiB of it are kept. Shown only where a `DetailsPolicy` allows it.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(cut(message.into()).into());
        self
    }

    /// Adds an error and keeps the status. Its class is shown, its text only where a `DetailsPolicy` allows it.
    pub fn error(mut self, error: CheckError) -> Self {
        self.error = Some(Cause::Classified(error));
        self
    }

    /// Adds a figure. Shown only where a `DetailsPolicy` allows it.
    pub fn detail(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// The status it stands for.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The figures so far.
    pub fn details(&self) -> &Details {
        &self.details
    }

    /// The class of its error, if it has one: by the error's own type, before the check's classifier is asked.
    pub fn error_class(&self) -> Option<ErrorClass> {
        match self.error.as_ref()? {
            Cause::Raw(error) => Some(ErrorClass::of(error.as_ref())),
            Cause::Classified(error) => Some(error.class()),
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Raw(_) => f.write_str("Raw(..)"),
            Cause::Classified(error) => error.fmt(f),
        }
    }
}

impl IntoOutcome for CheckOutcome {
    fn into_outcome(self) -> CheckOutcome {
        self
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> CheckOutcome {
        CheckOutcome::healthy()
    }
}

impl IntoOutcome for Status {
    fn into_outcome(self) -> CheckOutcome {
        match self {
            Status::Unknown => CheckOutcome::unknown(),
            Status::Healthy => CheckOutcome::healthy(),
            status => CheckOutcome::because(status, Reason::Reported),
        }
    }
}

impl<T: IntoOutcome, E: Into<BoxError>> IntoOutcome for Result<T, E> {
    fn into_outcome(self) -> CheckOutcome {
        match self {
            Ok(outcome) => outcome.into_outcome(),
            Err(error) => CheckOutcome::failed(error),
        }
    }
}

// === impl Details ===

impl Details {
    /// The most entries.
    pub const MAX_ENTRIES: usize = 32;
    /// The most bytes of keys and values as JSON.
    pub const MAX_BYTES: usize = 4096;

    fn insert(&mut self, key: String, value: Value) {
        let inner = Arc::make_mut(self.0.get_or_insert_default());
        let bytes = inner.bytes + key.len() + weight(&value);
        // The last place is kept for the entry that says that something is missing.
        let full = inner.map.len() + 1 >= Self::MAX_ENTRIES && !inner.map.contains_key(&key);
        if full || bytes > Self::MAX_BYTES {
            inner.map.insert("truncated".to_owned(), Value::Bool(true));
            return;
        }
        inner.bytes = bytes;
        inner.map.insert(key, value);
    }

    /// One of them.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.as_ref()?.map.get(key)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|inner| inner.map.iter().map(|(key, value)| (key.as_str(), value)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|inner| inner.map.is_empty())
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 8,
    }
}

impl fmt::Debug for Details {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
