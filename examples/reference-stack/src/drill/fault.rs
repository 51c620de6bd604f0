//! What can be broken, and how. Look at [`Fault`], and at [`Break::checked`], which says what is wrong with one.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::drill::mistakes::Mistake;
use crate::drill::plan::Span;

/// One thing that is broken: a server, a service, or what a command breaks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Break {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<Service>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    restore: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    how: Option<How>,
    /// By how much slower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    faults: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<usize>,
    /// How long after the phase's begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Span>,
    /// For how long, if not until the phase's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lasts: Option<Span>,
}

/// What a break does, once it is known to make sense.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// SIGKILL, and a start on the same port.
    KillServer(Server),
    /// SIGSTOP, and SIGCONT.
    StopServer(Server),
    /// Connections are reset.
    CutServer(Server),
    /// Everything takes so much longer, in each direction.
    SlowServer(Server, Duration),
    /// The fault switches of a service.
    Turn(Service, Value),
    /// SIGKILL, and a start where it was. Orchestrators have a number, counted from 1; of the others there is only the first.
    KillService(Service, usize),
    /// SIGSTOP, and SIGCONT.
    StopService(Service, usize),
    /// SIGTERM, as a platform ends what it will start again, and a start where it was.
    EndService(Service, usize),
    /// A command of the user's own, and one that restores.
    Command { command: String, restore: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    Redis,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Service {
    #[serde(rename = "agent-core")]
    Agents,
    #[serde(rename = "llm-service")]
    Model,
    #[serde(rename = "orchestrator")]
    Orchestrator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    Kill,
    Stop,
    End,
    Cut,
    Slow,
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillServer(server) => write!(f, "{server} is killed"),
            Self::StopServer(server) => write!(f, "{server} is stopped"),
            Self::CutServer(server) => write!(f, "{server} is cut off"),
            Self::SlowServer(server, by) => {
                write!(f, "{server} is slower by {}", humantime::format_duration(*by))
            }
            Self::Turn(service, switches) => write!(f, "{service} has {}", turned(switches)),
            Self::KillService(service, number) => write!(f, "{service} {number} is killed"),
            Self::StopService(service, number) => write!(f, "{service} {number} is stopped"),
            Self::EndService(service, number) => write!(f, "{service} {number} is told to end"),
            Self::Command { command, .. } => write!(f, "{command:?}"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Redis => "Redis",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agents => "agent-core",
            Self::Model => "llm-service",
            Self::Orchestrator => "orchestrator",
        })
    }
}

impl Fault {
    /// The server that it is about.
    pub(crate) fn server(&self) -> Option<Server> {
        match self {
            Self::KillServer(server)
            | Self::StopServer(server)
            | Self::CutServer(server)
            | Self::SlowServer(server, _) => Some(*server),
            _ => None,
        }
    }

    /// The service that it is about.
    pub(crate) fn service(&self) -> Option<Service> {
        match self {
            Self::Turn(service, _)
            | Self::KillService(service, _)
            | Self::StopService(service, _)
            | Self::EndService(service, _) => Some(*service),
            _ => None,
        }
    }

    /// The number of the orchestrator that it is about.
    pub(crate) fn orchestrator(&self) -> Option<usize> {
        match self {
            Self::KillService(Service::Orchestrator, number)
            | Self::StopService(Service::Orchestrator, number)
            | Self::EndService(Service::Orchestrator, number) => Some(*number),
            _ => None,
        }
    }
}

// === impl Break ===

impl Break {
    /// The one that does this.
    pub(crate) fn of(fault: &Fault) -> Self {
        let server = |server, how| Self { server: Some(server), how: Some(how), ..Self::default() };
        let service = |service, number, how| {
            let number = (service == Service::Orchestrator).then_some(number);
            Self { service: Some(service), number, how: Some(how), ..Self::default() }
        };
        match fault {
            Fault::KillServer(which) => server(*which, How::Kill),
            Fault::StopServer(which) => server(*which, How::Stop),
            Fault::CutServer(which) => server(*which, How::Cut),
            Fault::SlowServer(which, by) => Self { by: Some(Span(*by)), ..server(*which, How::Slow) },
            Fault::Turn(which, faults) => {
                Self { service: Some(*which), faults: Some(faults.clone()), ..Self::default() }
            }
            Fault::KillService(which, number) => service(*which, *number, How::Kill),
            Fault::StopService(which, number) => service(*which, *number, How::Stop),
            Fault::EndService(which, number) => service(*which, *number, How::End),
            Fault::Command { command, restore } => {
                let (command, restore) = (Some(command.clone()), Some(restore.clone()));
                Self { command, restore, ..Self::default() }
            }
        }
    }

    /// Begins so long after the phase does, and lasts so long.
    pub(crate) fn during(self, after: Duration, lasts: Duration) -> Self {
        Self { after: (!after.is_zero()).then_some(Span(after)), lasts: Some(Span(lasts)), ..self }
    }

    /// What it does. None only of what a plan is refused for.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.checked("").ok()
    }

    /// How long after the phase's begin.
    pub(crate) fn after(&self) -> Duration {
        self.after.map_or(Duration::ZERO, |span| span.0)
    }

    /// For how long, if not until the phase's end.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        self.lasts.map(|span| span.0)
    }

    /// What it comes to, or what is wrong with it.
    pub(crate) fn checked(&self, place: &str) -> Result<Fault, Mistake> {
        let wrong = |field: &str, value: &str, rule: &str| {
            Mistake::new(&format!("{place}{}{field}", if field.is_empty() { "" } else { "." }), value, rule)
        };
        let fields = [
            ("restore", self.restore.is_some(), self.command.is_some()),
            ("how", self.how.is_some(), self.server.is_some() || self.service.is_some()),
            ("by", self.by.is_some(), self.how == Some(How::Slow)),
            ("faults", self.faults.is_some(), self.service.is_some()),
            ("number", self.number.is_some(), self.service == Some(Service::Orchestrator)),
        ];
        for (field, is_said, belongs) in fields {
            if is_said && !belongs {
                return Err(wrong(field, "said", "left out: it says nothing of what is broken here"));
            }
        }
        match (self.server, self.service, &self.command) {
            (Some(server), None, None) => match (self.how, self.by) {
                (Some(How::Kill), _) => Ok(Fault::KillServer(server)),
                (Some(How::Stop), _) => Ok(Fault::StopServer(server)),
                (Some(How::Cut), _) => Ok(Fault::CutServer(server)),
                (Some(How::Slow), Some(by)) => Ok(Fault::SlowServer(server, by.0)),
                (Some(How::Slow), None) => Err(wrong("by", "nothing", "a duration, such as 200ms")),
                (Some(How::End), _) => Err(wrong("how", "end", "one of kill, stop, cut, slow")),
                (None, _) => Err(wrong("how", "nothing", "one of kill, stop, cut, slow")),
            },
            (None, Some(service), None) => {
                let number = self.number.unwrap_or(1);
                match (self.how, &self.faults) {
                    (Some(How::Kill), None) => Ok(Fault::KillService(service, number)),
                    (Some(How::Stop), None) => Ok(Fault::StopService(service, number)),
                    (Some(How::End), None) => Ok(Fault::EndService(service, number)),
                    (Some(_), None) => Err(wrong("how", "cut or slow", "one of kill, stop, end")),
                    (Some(_), Some(_)) => Err(wrong("how", "said", "left out where there are `faults`")),
                    (None, Some(_)) if service == Service::Orchestrator => {
                        Err(wrong("faults", "said", "left out: an orchestrator has no fault switches"))
                    }
                    (None, Some(faults)) => Ok(Fault::Turn(service, switches(faults, place)?)),
                    (None, None) => Err(wrong("faults", "nothing", "the service's fault switches, or `how`")),
                }
            }
            (None, None, Some(command)) => match &self.restore {
                Some(restore) => Ok(Fault::Command { command: command.clone(), restore: restore.clone() }),
                None => Err(wrong("restore", "nothing", "the command that ends what `command` began")),
            },
            _ => Err(wrong("", "none or several", "one of `server`, `service`, `command`")),
        }
    }
}

/// The switches that are not as they always are.
fn turned(switches: &Value) -> Value {
    let off = stack_faults::Switches::default().to_json();
    let all = switches.as_object().cloned().unwrap_or_default();
    all.into_iter().filter(|(switch, value)| off.get(switch) != Some(value)).collect()
}

/// The switches, by the services' own rules.
fn switches(faults: &Value, place: &str) -> Result<Value, Mistake> {
    match stack_faults::Switches::read(faults.to_string().as_bytes()) {
        Ok(switches) => Ok(switches.to_json()),
        Err(mistakes) => Err(mistakes.first().map_or_else(
            || Mistake::new(place, &faults.to_string(), "fault switches"),
            |wrong| Mistake::new(&format!("{place}.faults.{}", wrong.field), &wrong.value, wrong.rule),
        )),
    }
}
