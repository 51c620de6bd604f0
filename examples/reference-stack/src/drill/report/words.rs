//! Figures and times as people read them.

use super::model::{Ids, Kind};

/// `4,212`
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The share in percent, `99.97`, rounded down: only all is `100`. A dash where there is nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match part {
        _ if whole == 0 => "–".into(),
        _ if part >= whole => "100".into(),
        0 => "0".into(),
        _ => {
            let hundredths = u128::from(part) * 10_000 / u128::from(whole);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        }
    }
}

/// Milliseconds with as many digits as mean something: `4.2`, `812`, `10,002`. A dash where there is nothing.
pub(super) fn millis(ms: Option<f64>) -> String {
    match ms.filter(|ms| ms.is_finite()) {
        None => "–".into(),
        Some(ms) if ms < 99.95 => format!("{ms:.1}"),
        Some(ms) => count(ms.round().max(0.0) as u64),
    }
}

/// `310 ms`, `1.2 s`, `5 min 48 s`
pub(super) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ if ms % 60_000 < 1_000 => format!("{} min", ms / 60_000),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `310 ms`, `72.4 s`
pub(super) fn seconds(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// `1:05`, in minutes and seconds
pub(super) fn clock(ms: u64) -> String {
    format!("{}:{:02}", ms / 60_000, ms % 60_000 / 1_000)
}

/// `1:05.4`
pub(super) fn exact_clock(ms: u64) -> String {
    format!("{}.{}", clock(ms), ms % 1_000 / 100)
}

/// `1 outage`, `7 outages`
pub(super) fn several(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(number as u64), if number == 1 { one } else { many })
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Healthy => "healthy",
        Kind::Outage => "outage",
        Kind::Recovery => "recovery",
    }
}

/// At most so many characters; what does not fit ends in `…`.
pub(super) fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

impl Ids {
    /// How many there are beyond those that are listed, if there are.
    pub(super) fn more(&self) -> Option<String> {
        let more = self.number.saturating_sub(self.first.len() as u64);
        (more > 0).then(|| count(more))
    }
}

/// Without characters that steer a terminal, or turn around the text beside them: names come from outside.
pub(super) fn tame(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if c != '\n' && steers(c) { '\u{fffd}' } else { c }).collect()
}
