/// A path that a [`HealthService`](super::HealthService) answers. The table of what each of them says is at
/// [`http`](crate::http).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/livez`.
    Livez,
    /// `/readyz`: what balancers ask.
    Readyz,
    /// `/startupz`.
    Startupz,
    /// `/healthz`.
    Healthz,
    /// `/health`.
    Health,
    /// `/health/ready`.
    HealthReady,
    /// `/health/live`.
    HealthLive,
    /// `/health/detailed`.
    HealthDetailed,
    /// `/ready`, the same as `/health/ready`.
    Ready,
    /// `/readiness`, the same as `/health/ready`.
    Readiness,
}

/// Which question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aspect {
    Live,
    Ready,
    Started,
    Overall,
}

/// How it is answered, if nothing else is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Text,
    Json,
    Detailed,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Livez,
        Self::Readyz,
        Self::Startupz,
        Self::Healthz,
        Self::Health,
        Self::HealthReady,
        Self::HealthLive,
        Self::HealthDetailed,
        Self::Ready,
        Self::Readiness,
    ];

    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Startupz => "/startupz",
            Self::Healthz => "/healthz",
            Self::Health => "/health",
            Self::HealthReady => "/health/ready",
            Self::HealthLive => "/health/live",
            Self::HealthDetailed => "/health/detailed",
            Self::Ready => "/ready",
            Self::Readiness => "/readiness",
        }
    }

    /// The one with this path.
    pub fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/readyz" => Self::Readyz,
            "/livez" => Self::Livez,
            "/startupz" => Self::Startupz,
            "/healthz" => Self::Healthz,
            "/health" => Self::Health,
            "/health/ready" => Self::HealthReady,
            "/health/live" => Self::HealthLive,
            "/health/detailed" => Self::HealthDetailed,
            "/ready" => Self::Ready,
            "/readiness" => Self::Readiness,
            _ => return None,
        })
    }

    pub(crate) const fn aspect(self) -> Aspect {
        match self {
            Self::Livez | Self::HealthLive => Aspect::Live,
            Self::Readyz | Self::HealthReady | Self::Ready | Self::Readiness => Aspect::Ready,
            Self::Startupz => Aspect::Started,
            Self::Healthz | Self::Health | Self::HealthDetailed => Aspect::Overall,
        }
    }

    pub(crate) const fn form(self) -> Form {
        match self {
            Self::Livez | Self::Readyz | Self::Startupz | Self::Healthz => Form::Text,
            Self::Health | Self::HealthReady | Self::HealthLive | Self::Ready | Self::Readiness => Form::Json,
            Self::HealthDetailed => Form::Detailed,
        }
    }

    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Aspect {
    /// As Kubernetes calls its probe.
    pub(crate) const fn probe(self) -> &'static str {
        match self {
            Aspect::Live => "livez",
            Aspect::Ready => "readyz",
            Aspect::Started => "startupz",
            Aspect::Overall => "healthz",
        }
    }
}
