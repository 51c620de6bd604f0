use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

/// The longest delay and pace.
const LONGEST: Duration = Duration::from_secs(600);
/// The most pieces before a break.
const MOST_PIECES: u64 = 1_000_000;

/// What goes wrong. By default nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Switches {
    /// The share of calls that fail, from 0 to 1. Which ones is no chance: the n-th fails if the share, added up over n calls, has just
    /// come to a whole number. So of 0.25 it is each fourth.
    pub error_rate: f64,
    /// How long a call waits before anything is done. At most 10 min.
    pub delay: Duration,
    /// How long a stream waits before each piece. At most 10 min.
    pub pace: Duration,
    /// Calls wait until this is switched off, or the caller goes.
    pub hang: bool,
    /// After how many pieces an answer breaks off, at most 1,000,000. An answer that is no stream is one piece.
    pub break_after: Option<u64>,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Its name.
    pub field: String,
    /// What was sent, shortened.
    pub value: String,
    /// What is accepted.
    pub rule: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, but must be {}", self.field, self.value, self.rule)
    }
}

impl Switches {
    /// Reads JSON strictly. A field that is not there is off.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn read(json: &[u8]) -> Result<Self, Vec<Mistake>> {
        let fields: Map<String, Value> = serde_json::from_slice(json).map_err(|error| {
            vec![Mistake { field: "body".to_owned(), value: error.to_string(), rule: "an object of JSON" }]
        })?;
        let mut switches = Self::default();
        let mut mistakes = Vec::new();
        for (field, value) in &fields {
            if let Err(rule) = switches.set(field, value) {
                mistakes.push(Mistake {
                    field: shortened(field),
                    value: shortened(&value.to_string()),
                    rule,
                });
            }
        }
        if mistakes.is_empty() { Ok(switches) } else { Err(mistakes) }
    }

    fn set(&mut self, field: &str, value: &Value) -> Result<(), &'static str> {
        match field {
            "error_rate" => {
                let rate = value.as_f64().filter(|rate| (0.0..=1.0).contains(rate));
                self.error_rate = rate.ok_or("a number from 0 to 1")?;
            }
            "delay" => self.delay = duration(value)?,
            "pace" => self.pace = duration(value)?,
            "hang" => self.hang = value.as_bool().ok_or("true or false")?,
            "break_after" => self.break_after = pieces(value)?,
            _ => return Err("one of error_rate, delay, pace, hang, break_after"),
        }
        Ok(())
    }

    /// As they are read.
    pub fn to_json(&self) -> Value {
        serde_json::json!({
            "error_rate": self.error_rate,
            "delay": humantime::format_duration(self.delay).to_string(),
            "pace": humantime::format_duration(self.pace).to_string(),
            "hang": self.hang,
            "break_after": self.break_after,
        })
    }
}

fn duration(value: &Value) -> Result<Duration, &'static str> {
    let duration = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    duration
        .filter(|duration| *duration <= LONGEST)
        .ok_or("a duration with a unit, such as 250ms, of at most 10m")
}

fn pieces(value: &Value) -> Result<Option<u64>, &'static str> {
    if value.is_null() {
        return Ok(None);
    }
    let pieces = value.as_u64().filter(|pieces| *pieces <= MOST_PIECES);
    pieces.map(Some).ok_or("null or a whole number from 0 to 1000000")
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST).chain(['…']).collect()
    }
}
