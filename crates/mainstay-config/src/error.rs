use std::collections::HashSet;
use std::fmt;

use crate::node::Node;
use crate::visible::Visible;
use crate::{Origin, Warning};

/// The exit code of a program whose settings are wrong: `EX_CONFIG` of `sysexits.h`.
pub const EX_CONFIG: u8 = 78;

/// One thing that is wrong with the settings: where, what was found, and what was expected.
///
/// A value that is a secret, or that a `${VARIABLE}` brought in, is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingError {
    /// Where it stands.
    pub origin: Origin,
    /// The path of the key, such as `circuit_breakers.redis.open_for`; empty for the document.
    pub path: String,
    /// What was found there.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// What was perhaps meant.
    pub hint: Option<String>,
}

/// Everything that is wrong with the settings, sorted by place: files in the order in which they were given, then variables by
/// name. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingErrors {
    errors: Vec<SettingError>,
    warnings: Vec<Warning>,
}

/// Errors while they are collected.
#[derive(Default)]
pub(crate) struct Errors(Vec<SettingError>);

// === impl SettingError ===

impl SettingError {
    pub(crate) fn new(
        origin: &Origin,
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            origin: origin.clone(),
            path: path.into(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// A value that is refused.
    pub(crate) fn at(node: &Node, path: &str, expected: impl Into<String>) -> Self {
        Self::new(&node.origin, path, node.found(), expected)
    }
}

/// On one line, and one more for a hint. Control characters of keys and names are escaped.
impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", Visible(&self.path))?;
        }
        write!(f, "found {}, expected {}", Visible(&self.found), Visible(&self.expected))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {}", Visible(hint)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SettingError {}

// === impl SettingErrors ===

impl SettingErrors {
    /// All of them, sorted by place.
    pub fn iter(&self) -> std::slice::Iter<'_, SettingError> {
        self.errors.iter()
    }

    /// What is no mistake beside them, and perhaps not meant: see [`Loaded::warnings`](crate::Loaded::warnings). None if a file
    /// could not be read at all.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Both reports as one: `Err` if either is.
    ///
    /// # Errors
    ///
    /// What is wrong in either.
    pub fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (one, other) => {
                let (mut errors, mut warnings) = (Errors::default(), Vec::new());
                for wrong in one.err().into_iter().chain(other.err()) {
                    errors.extend(wrong.errors);
                    warnings.extend(wrong.warnings);
                }
                Err(Self { errors: errors.sorted(), warnings })
            }
        }
    }
}

impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingErrors {}

impl<'a> IntoIterator for &'a SettingErrors {
    type Item = &'a SettingError;
    type IntoIter = std::slice::Iter<'a, SettingError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

// === impl Errors ===

impl Errors {
    pub(crate) fn push(&mut self, error: SettingError) {
        self.0.push(error);
    }

    pub(crate) fn extend(&mut self, errors: impl IntoIterator<Item = SettingError>) {
        self.0.extend(errors);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds contradictions, without those of parts in which a value is wrong: they may be for want of it.
    pub(crate) fn add_contradictions(&mut self, contradictions: Self) {
        let wrong: HashSet<String> = self.0.iter().map(|error| part(&error.path)).collect();
        let common = ["circuit_breakers", "health"].map(|family| format!("{family}.default"));
        let spoilt = |path: &str| {
            let inherits = |default: &String| {
                wrong.contains(default) && path.split('.').next() == default.split('.').next()
            };
            wrong.contains(&part(path)) || common.iter().any(inherits)
        };
        // One is told once, also if several things inherit it.
        let mut told = HashSet::new();
        let mut first = |error: &SettingError| {
            told.insert((error.origin.clone(), error.found.clone(), error.expected.clone()))
        };
        let contradictions = contradictions.0.into_iter().filter(|error| !spoilt(&error.path));
        self.0.extend(contradictions.filter(|error| first(error)));
    }

    fn sorted(mut self) -> Vec<SettingError> {
        self.0.sort_by(|one, other| one.origin.cmp(&other.origin));
        let mut told = HashSet::new();
        self.0.retain(|error| {
            told.insert((
                error.origin.clone(),
                error.path.clone(),
                error.found.clone(),
                error.expected.clone(),
            ))
        });
        self.0
    }

    pub(crate) fn into_result<T>(self, value: T) -> Result<T, SettingErrors> {
        self.into_result_with(value, Vec::new())
    }

    pub(crate) fn into_result_with<T>(self, value: T, warnings: Vec<Warning>) -> Result<T, SettingErrors> {
        if self.0.is_empty() { Ok(value) } else { Err(SettingErrors { errors: self.sorted(), warnings }) }
    }
}

impl From<Errors> for SettingErrors {
    fn from(errors: Errors) -> Self {
        Self { errors: errors.sorted(), warnings: Vec::new() }
    }
}

/// The part of the settings that a path belongs to, within which values may contradict each other.
fn part(path: &str) -> String {
    let keys = match path {
        _ if path.starts_with("health.checks.") => 3,
        _ => 2,
    };
    let part: Vec<&str> = path.split('.').take(keys).collect();
    part.join(".")
}

/// The known word that is most like another one, if any is.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = (word.chars().count() / 3).clamp(1, 4);
    // Words of any length would take time of any length.
    if word.len() > 128 {
        return None;
    }
    let distance = |known: &'a str| (strsim::damerau_levenshtein(word, known), known);
    known.into_iter().map(distance).filter(|(far, _)| *far <= close).min().map(|(_, known)| known)
}

pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|known| format!("did you mean `{known}`?"))
}
