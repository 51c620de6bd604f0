use std::time::Duration;

use mainstay_core::ConfigError;

use crate::{Details, Status};

/// Makes a check that passed degraded (or unhealthy) by a figure of its result, with a value at which it begins and another
/// at which it ends, so that a figure near the limit does not make it flap.
///
/// ```
/// use std::time::Duration;
/// use mainstay_health::Rule;
///
/// let slow = Rule::latency_above(Duration::from_millis(100), Duration::from_millis(80));
/// let crowded = Rule::above("waiters", 5.0, 1.0);
/// let full = Rule::below("free_share", 0.02, 0.05).unhealthy();
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    quantity: Quantity,
    side: Side,
    enter: f64,
    leave: f64,
    makes: Status,
}

#[derive(Clone, Debug, PartialEq)]
enum Quantity {
    /// Of the run, in seconds.
    Latency,
    /// A number among the details.
    Detail(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Above,
    Below,
}

impl Rule {
    /// Degraded once a run took `enter` or longer, until one takes less than `leave`, which is at most `enter`.
    pub fn latency_above(enter: Duration, leave: Duration) -> Self {
        let (enter, leave) = (enter.as_secs_f64(), leave.as_secs_f64());
        Self { quantity: Quantity::Latency, side: Side::Above, enter, leave, makes: Status::Degraded }
    }

    /// Degraded once the number `detail` among the details is at least `enter`, until it is less than `leave`, which is at
    /// most `enter`. A result without that number leaves the rule as it was.
    pub fn above(detail: impl Into<String>, enter: f64, leave: f64) -> Self {
        let quantity = Quantity::Detail(detail.into());
        Self { quantity, side: Side::Above, enter, leave, makes: Status::Degraded }
    }

    /// Degraded once the number `detail` among the details is at most `enter`, until it is more than `leave`, which is at
    /// least `enter`. A result without that number leaves the rule as it was.
    pub fn below(detail: impl Into<String>, enter: f64, leave: f64) -> Self {
        let quantity = Quantity::Detail(detail.into());
        Self { quantity, side: Side::Below, enter, leave, makes: Status::Degraded }
    }

    /// Makes it unhealthy instead of degraded.
    #[must_use]
    pub fn unhealthy(mut self) -> Self {
        self.makes = Status::Unhealthy;
        self
    }

    /// What it makes of a check that passed.
    pub fn makes(&self) -> Status {
        self.makes
    }

    /// Whether it is about the time that a run took.
    pub(crate) fn is_latency(&self) -> bool {
        self.quantity == Quantity::Latency
    }

    /// Whether it is in force after a result, given whether it was before.
    pub(crate) fn holds(&self, was: bool, latency: Option<Duration>, details: &Details) -> bool {
        let value = match &self.quantity {
            Quantity::Latency => latency.map(|latency| latency.as_secs_f64()),
            Quantity::Detail(key) => details.get(key).and_then(serde_json::Value::as_f64),
        };
        let Some(value) = value else { return was };
        match (self.side, was) {
            (Side::Above, false) => value >= self.enter,
            (Side::Above, true) => value >= self.leave,
            (Side::Below, false) => value <= self.enter,
            (Side::Below, true) => value <= self.leave,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !self.enter.is_finite() {
            return Err(ConfigError::new("enter", self.enter, "must be a finite number"));
        }
        if !self.leave.is_finite() {
            return Err(ConfigError::new("leave", self.leave, "must be a finite number"));
        }
        if self.is_latency() && self.enter <= 0.0 {
            return Err(ConfigError::new("enter", "0s", "must be longer than zero"));
        }
        if let Quantity::Detail(key) = &self.quantity
            && key.is_empty()
        {
            return Err(ConfigError::new("detail", "\"\"", "must not be empty"));
        }
        let rule = match self.side {
            Side::Above if self.leave > self.enter => "must be at most the value at which it enters",
            Side::Below if self.leave < self.enter => "must be at least the value at which it enters",
            _ => return Ok(()),
        };
        Err(ConfigError::new("leave", self.leave, rule))
    }
}
