use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use crate::check::{duration, unknown};
use crate::error::{Errors, SettingError};
use crate::node::{Entry, Node, Value};
use crate::{Environment, Origin, Secret, SettingErrors, path, yaml};

/// A section of the program's own: read key by key, so that everything that is wrong is told at once.
///
/// ```
/// use std::time::Duration;
/// use mainstay_config::{Environment, Loader};
///
/// let file = "
/// gateway:
///   port: 8080
///   orchestrator: http://orchestrator:50052
///   jwt_secret: ${JWT_SECRET}
/// ";
/// let environment = Environment::from_iter([("JWT_SECRET", "kD83hf0qPzv7LmWc2XtR9sBnYa5eUj4i")]);
/// let loaded = Loader::new().text("gateway.yaml", file).environment(environment).allow_section("gateway").load()?;
///
/// let mut gateway = loaded.section("gateway");
/// let port = gateway.number::<u16>("port").or(8080);
/// let orchestrator = gateway.endpoint("orchestrator", &["http", "https"]).required();
/// let secret = gateway.secret("jwt_secret", 32).required();
/// let grace = gateway.duration("grace").or(Duration::from_secs(60));
/// gateway.finish()?;                                  // every mistake at once, unknown keys too
/// # assert_eq!((port, orchestrator.as_str(), grace.as_secs()), (8080, "http://orchestrator:50052", 60));
/// # assert_eq!(format!("{secret:?}"), "***");
/// # Ok::<(), mainstay_config::SettingErrors>(())
/// ```
#[must_use = "what is wrong with a section is told by `finish`"]
pub struct Section {
    path: String,
    origin: Origin,
    entries: Vec<Entry>,
    /// The keys that were asked for.
    known: Vec<String>,
    /// Whether other keys are none of our business.
    open: bool,
    errors: Errors,
}

/// A value that was asked for.
#[must_use = "say whether it is required"]
pub struct Field<'a, T> {
    section: &'a mut Section,
    key: String,
    expected: String,
    value: Asked<T>,
    placeholder: T,
}

enum Asked<T> {
    Found(T),
    /// What is found in its place.
    Missing(&'static str),
    /// It is there, is wrong, and has been told.
    Wrong,
}

impl Section {
    /// The section, or an empty one that is missing at a place.
    pub(crate) fn new(name: &str, node: Option<&Node>, place: &Origin) -> Self {
        let mut section = Self {
            path: name.to_owned(),
            origin: node.map_or(place, |node| &node.origin).clone(),
            entries: node.map(Node::entries).unwrap_or_default().to_vec(),
            known: Vec::new(),
            open: false,
            errors: Errors::default(),
        };
        if let Some(node) = node.filter(|node| !node.is_map() && node.value != Value::Null) {
            section.errors.push(SettingError::at(node, name, "a map"));
        }
        section
    }

    /// The environment as a section whose keys are the variables, for what has no place in a file. Variables that nobody asks for
    /// are no mistake.
    pub fn of_environment(environment: &Environment) -> Self {
        let entry = |(name, value): (&str, Option<&str>)| {
            let origin = Origin::Variable(name.into());
            let mut node = match value {
                Some(value) => Node::text(value, origin.clone()),
                None => Node::new(Value::List(Vec::new()), origin.clone()),
            };
            // A variable's value is in no error.
            node.reference = Some(name.into());
            Entry { key: name.to_owned(), at: origin, node }
        };
        Self {
            path: String::new(),
            origin: Origin::Default,
            entries: environment.iter().map(entry).collect(),
            known: Vec::new(),
            open: true,
            errors: Errors::default(),
        }
    }

    /// A text. A variable of the [environment](Self::of_environment) that is set to nothing is missing.
    pub fn text(&mut self, key: &str) -> Field<'_, String> {
        let empty = |entry: &Entry| {
            entry.key == key && entry.node.as_text().is_some_and(|text| text.trim().is_empty())
        };
        let empty = self.open && self.entries.iter().any(empty);
        let mut field = self.read(key, "text", String::new(), |node| match &node.value {
            Value::Text(text) => Some(text.clone()),
            // A variable has nothing but text; that it looks like a number is chance.
            _ if node.reference.is_some() => node.scalar(),
            _ => None,
        });
        if empty {
            field.value = Asked::Missing("an empty variable");
        }
        field
    }

    /// A duration with its unit.
    pub fn duration(&mut self, key: &str) -> Field<'_, Duration> {
        self.read(key, "a duration with a unit, such as 250ms, 30s or 1h30m", Duration::ZERO, duration)
    }

    /// True or false.
    pub fn bool(&mut self, key: &str) -> Field<'_, bool> {
        self.read(key, "true or false", false, |node| match &node.value {
            Value::Text(text) => Node::new(yaml::resolve(text), Origin::Default).as_bool(),
            _ => node.as_bool(),
        })
    }

    /// A number of a type, such as `u16` for a port. Infinity is none.
    pub fn number<T: FromStr + Default>(&mut self, key: &str) -> Field<'_, T> {
        let kind = std::any::type_name::<T>();
        self.read(key, &format!("a number ({kind})"), T::default(), |node| match &node.value {
            Value::Number(text) => text.parse().ok(),
            Value::Text(text) => match yaml::resolve(text) {
                Value::Number(text) => text.parse().ok(),
                _ => None,
            },
            _ => None,
        })
    }

    /// An address to listen on, such as `0.0.0.0:8080`.
    pub fn address(&mut self, key: &str) -> Field<'_, SocketAddr> {
        self.read(
            key,
            "an address and a port, such as 0.0.0.0:8080",
            SocketAddr::from(([0, 0, 0, 0], 0)),
            |node| node.as_text()?.parse().ok(),
        )
    }

    /// An endpoint: a URI with one of these schemes, a host, and perhaps a port from 1 to 65,535. Its text is in no error if there is an `@` in it.
    pub fn endpoint(&mut self, key: &str, schemes: &[&str]) -> Field<'_, String> {
        let expected =
            format!("a URI with a host that begins with {}", crate::shape::listed(schemes.iter().copied()));
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key)
            && entry.node.as_text().is_some_and(|text| text.contains('@'))
        {
            entry.node.reference.get_or_insert_with(|| "".into());
        }
        self.read(key, &expected, String::new(), |node| {
            let text = node.as_text()?;
            let uri: http::Uri = text.parse().ok()?;
            let known = schemes.contains(&uri.scheme_str()?) && !uri.host()?.is_empty();
            let known = known && has_no_wrong_port(uri.authority()?);
            known.then(|| text.to_owned())
        })
    }

    /// A secret of at least so many bytes, at least eight of which are different (or half of them, if it is shorter). It is in no
    /// error.
    pub fn secret(&mut self, key: &str, least: usize) -> Field<'_, Secret> {
        let different = least.div_ceil(2).min(8);
        let expected = format!("a secret of at least {least} bytes, at least {different} of them different");
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.key == key) {
            entry.node.reference.get_or_insert_with(|| "".into());
        }
        self.read(key, &expected, Secret::default(), |node| {
            let text = node.scalar()?;
            let bytes: std::collections::BTreeSet<u8> = text.bytes().collect();
            (text.len() >= least && bytes.len() >= different).then(|| Secret::new(text))
        })
    }

    /// A section within this one. Hand it to [`join`](Self::join) when it is read.
    pub fn section(&mut self, key: &str) -> Section {
        self.known.push(key.to_owned());
        let node = self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node);
        Section::new(&path::join(&self.path, key), node, &self.origin)
    }

    /// Takes over what is wrong with a section within this one.
    pub fn join(&mut self, section: Section) {
        if let Err(errors) = section.finish() {
            self.errors.extend(errors.iter().cloned());
        }
    }

    /// Tells that a value which was read is refused by the program for a reason of its own.
    pub fn refuse(&mut self, key: &str, expected: impl Into<String>) {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        let (origin, found) = entry.map_or_else(
            || (self.missing(key), "nothing".to_owned()),
            |entry| (entry.at.clone(), entry.node.found()),
        );
        self.errors.push(SettingError::new(&origin, self.below(key), found, expected));
    }

    /// Where a key is missing.
    fn missing(&self, key: &str) -> Origin {
        if self.open { Origin::Variable(key.into()) } else { self.origin.clone() }
    }

    /// The path of a key. A variable has none beside its name.
    fn below(&self, key: &str) -> String {
        if self.open { String::new() } else { path::join(&self.path, key) }
    }

    /// Ends the reading. Keys that were not asked for are mistakes.
    ///
    /// # Errors
    ///
    /// Everything that is wrong.
    pub fn finish(mut self) -> Result<(), SettingErrors> {
        if !self.open {
            for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key)) {
                let known = self.known.iter().map(String::as_str).collect();
                self.errors.push(unknown(&entry.at, &self.path, &entry.key, known));
            }
        }
        self.errors.into_result(())
    }

    fn read<T>(
        &mut self,
        key: &str,
        expected: &str,
        placeholder: T,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Field<'_, T> {
        self.known.push(key.to_owned());
        let value = match self.entries.iter().find(|entry| entry.key == key) {
            None => Asked::Missing("nothing"),
            // A variable that is not set has been told.
            Some(entry) if entry.node.value == Value::Unset => Asked::Wrong,
            Some(entry) => match read(&entry.node) {
                Some(value) => Asked::Found(value),
                None => {
                    self.errors.push(SettingError::at(&entry.node, &self.below(key), expected));
                    Asked::Wrong
                }
            },
        };
        Field { section: self, key: key.to_owned(), expected: expected.to_owned(), value, placeholder }
    }
}

/// Whether what stands after the host is nothing, or a port.
fn has_no_wrong_port(authority: &http::uri::Authority) -> bool {
    let place = authority.as_str().rsplit('@').next().unwrap_or_default();
    match place.strip_prefix(authority.host()) {
        Some("") => true,
        Some(port) => {
            let port = port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
            port.is_some_and(|port| port > 0)
        }
        None => false,
    }
}

impl<T> Field<'_, T> {
    /// The value, or this one if nothing is said.
    pub fn or(self, default: T) -> T {
        self.optional().unwrap_or(default)
    }

    /// The value, if anything is said.
    pub fn optional(self) -> Option<T> {
        match self.value {
            Asked::Found(value) => Some(value),
            Asked::Missing(_) | Asked::Wrong => None,
        }
    }

    /// The value. If nothing is said, that is a mistake, which [`Section::finish`] tells; until then there is a placeholder.
    pub fn required(self) -> T {
        let Self { section, key, expected, value, placeholder } = self;
        match value {
            Asked::Found(value) => return value,
            Asked::Wrong => {}
            Asked::Missing(found) => {
                let error = SettingError::new(&section.missing(&key), section.below(&key), found, expected);
                section.errors.push(error);
            }
        }
        placeholder
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
        f.debug_struct("Section").field("path", &self.path).field("keys", &keys).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Field<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field").field("key", &self.key).finish_non_exhaustive()
    }
}
