//! What a drill does, as data: a YAML file of phases, strictly read. Look at [`Plan::read`], which says everything that is wrong with one.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub(crate) use crate::drill::fault::{Break, Fault, Server, Service};
use crate::drill::mistakes::{Mistake, Mistakes};

/// The longest phase, and the longest of any time.
pub(crate) const LONGEST: Duration = Duration::from_hours(1);
const MOST_PHASES: usize = 1_000;
const LONGEST_NAME: usize = 60;

/// A name, and what is done one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) name: String,
    pub(crate) phases: Vec<Phase>,
}

/// Something is broken for a time, and then restored and watched for a time; or nothing is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) story: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) r#break: Vec<Break>,
    /// How long it stays broken.
    #[serde(rename = "for")]
    pub(crate) lasts: Span,
    /// What the time afterwards is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restored: Option<String>,
    /// How long the stack is watched afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) then: Option<Span>,
    /// Whether a breaker has to open. Where none has to, what breakers and levels would tell is not judged.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub(crate) opens: bool,
}

/// A duration with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

// === impl Plan ===

impl Plan {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong, each with its field, its value, and the rule.
    pub(crate) fn read(yaml: &str) -> Result<Self, Mistakes> {
        let value: Value = serde_saphyr::from_str(yaml)
            .map_err(|error| Mistakes::one(Mistake::new("plan", "the file", format!("YAML: {error}"))))?;
        let plan: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            Mistakes::one(Mistake::unreadable(&path, &error.into_inner().to_string()))
        })?;
        let mistakes = plan.mistakes();
        if mistakes.is_empty() { Ok(plan) } else { Err(Mistakes(mistakes)) }
    }

    /// As it can be read again.
    pub(crate) fn to_yaml(&self) -> anyhow::Result<String> {
        serde_saphyr::to_string(self).context("the plan as YAML")
    }

    /// How long it takes, without start and end.
    pub(crate) fn length(&self) -> Duration {
        self.phases.iter().map(|phase| phase.lasts.0 + phase.then.map_or(Duration::ZERO, |span| span.0)).sum()
    }

    /// Whether a server's connections are to be cut or slowed down.
    pub(crate) fn meddles_with(&self, server: Server) -> bool {
        let faults = self.phases.iter().flat_map(|phase| &phase.r#break).filter_map(Break::fault);
        faults.into_iter().any(|fault| match fault {
            Fault::CutServer(cut) | Fault::SlowServer(cut, _) => cut == server,
            _ => false,
        })
    }

    fn mistakes(&self) -> Vec<Mistake> {
        let mut found = Vec::new();
        if self.phases.is_empty() || self.phases.len() > MOST_PHASES {
            let rule = format!("a list of 1 to {MOST_PHASES} phases");
            found.push(Mistake::new("phases", &self.phases.len().to_string(), rule));
        }
        let mut names = vec![("name".to_owned(), self.name.as_str())];
        for (at, phase) in self.phases.iter().enumerate() {
            let place = format!("phases[{at}]");
            phase.mistakes(&place, &mut found);
            names.push((format!("{place}.name"), &phase.name));
            names.extend(phase.restored.as_deref().map(|name| (format!("{place}.restored"), name)));
        }
        for (at, (place, name)) in names.iter().enumerate() {
            if name.trim().is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
                let rule = format!("a name of 1 to {LONGEST_NAME} bytes");
                found.push(Mistake::new(place, name, rule));
            }
            // The plan's own name is nobody's rival.
            if at > 0 && names.iter().skip(1).take(at - 1).any(|(_, other)| other == name) {
                found.push(Mistake::new(place, name, "a name that no other phase has"));
            }
        }
        found
    }
}

// === impl Phase ===

impl Phase {
    pub(crate) fn name_restored(&self) -> String {
        self.restored.clone().unwrap_or_else(|| format!("{}, over", self.name))
    }

    /// What it breaks first, most often at its begin. The rest makes no sense without this.
    pub(crate) fn beginning(&self) -> impl Iterator<Item = &Break> {
        let first = self.begins();
        self.r#break.iter().filter(move |one| one.after() == first)
    }

    /// How long after its begin it breaks something.
    pub(crate) fn begins(&self) -> Duration {
        self.r#break.iter().map(Break::after).min().unwrap_or_default()
    }

    fn mistakes(&self, place: &str, found: &mut Vec<Mistake>) {
        for (field, span) in [("for", Some(self.lasts)), ("then", self.then)] {
            if let Some(span) = span.filter(|span| span.0 < Duration::from_secs(1) || span.0 > LONGEST) {
                let rule = "a duration from 1s to 1h";
                found.push(Mistake::new(&format!("{place}.{field}"), &span.to_string(), rule));
            }
        }
        for (field, is_said) in [("then", self.then.is_some()), ("restored", self.restored.is_some())] {
            if is_said && self.r#break.is_empty() {
                let rule = "left out where nothing is broken";
                found.push(Mistake::new(&format!("{place}.{field}"), "said", rule));
            }
        }
        if !self.opens && self.r#break.is_empty() {
            let rule = "left out where nothing is broken";
            found.push(Mistake::new(&format!("{place}.opens"), "false", rule));
        }
        for (at, one) in self.r#break.iter().enumerate() {
            let place = format!("{place}.break[{at}]");
            if let Some(by) = one.by.filter(|by| by.0 > LONGEST) {
                found.push(Mistake::new(&format!("{place}.by"), &by.to_string(), "at most 1h"));
            }
            if let Err(mistake) = one.checked(&place) {
                found.push(mistake);
            }
            if one.after() >= self.lasts.0 {
                let rule = "before the end of its phase";
                found.push(Mistake::new(&format!("{place}.after"), &Span(one.after()).to_string(), rule));
            } else if one
                .lasts
                .is_some_and(|span| one.after().saturating_add(span.0) > self.lasts.0 || span.0.is_zero())
            {
                let said = one.lasts.unwrap_or(Span(Duration::ZERO)).to_string();
                found.push(Mistake::new(&format!("{place}.lasts"), &said, "over by the end of its phase"));
            }
        }
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_yes(said: &bool) -> bool {
    *said
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let read = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        read.map(Self).ok_or_else(|| {
            serde::de::Error::custom(format!("{value} must be a duration with a unit, such as 15s"))
        })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}
