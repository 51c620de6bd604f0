use std::collections::BTreeMap;
use std::fmt;

/// The environment variables that settings are read from.
///
/// Only their names are printed, never their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, Option<String>>);

impl Environment {
    /// No variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of this process. One whose value is not UTF-8 is an error where it is asked for.
    pub fn from_process() -> Self {
        let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()))
        };
        Self(std::env::vars_os().filter_map(variable).collect())
    }

    /// The value, if it is set and is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_deref()
    }

    /// Whether it is set to what is not UTF-8.
    pub(crate) fn is_no_text(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(None))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), Some(value.into()))).collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
