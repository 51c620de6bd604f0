use mainstay_core::Name;

/// Why [`check_now`](crate::HealthManager::check_now) has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckNowError {
    /// No check has this name.
    #[error("there is no check {0:?}")]
    Unknown(String),
    /// The manager was not started, or was stopped.
    #[error("the health manager does not run")]
    NotRunning,
    /// The check's task did not come to run it in twice its time-out: the manager's runtime is blocked, or gone.
    #[error("check {0} was not run in time: the health manager's runtime is blocked")]
    Stuck(Name),
}
