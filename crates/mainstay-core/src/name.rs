use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::ConfigError;

/// The name of a breaker, a check or a level: validated once, then free to copy.
///
/// Names are interned for the life of the process, so that rejections and transitions can carry them without
/// a clone. They are for things that a program names, not for values that a request brings: a keyed set has one
/// name for all its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(&'static str);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks and interns a name: 1 to 128 bytes, no control characters, no white space at either end.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the field `name`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ConfigError> {
        let name = name.as_ref();
        let refuse = |rule: &str| Err(ConfigError::new("name", format_args!("{name:?}"), rule));
        if name.is_empty() {
            return refuse("must not be empty");
        }
        if name.len() > Self::MAX_LEN {
            return refuse("must be at most 128 bytes long");
        }
        if name.chars().any(char::is_control) {
            return refuse("must not contain control characters");
        }
        if name.trim() != name {
            return refuse("must not begin or end with white space");
        }
        Ok(Self(intern(name)))
    }

    /// The name as text.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

fn intern(name: &str) -> &'static str {
    static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut names = NAMES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    match names.get(name) {
        Some(known) => known,
        None => {
            let kept: &'static str = Box::leak(name.into());
            names.insert(kept);
            kept
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.0
    }
}

/// A name is looked up by its text: equality, order and hash are those of the text.
impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}
