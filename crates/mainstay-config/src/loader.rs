use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::canonical::canonical;
use crate::check::{check, unknown};
use crate::error::Errors;
use crate::keys::ROOT;
use crate::merge::merge;
use crate::node::{Entry, Node, Value};
use crate::variables::{ROOT_SHAPE, generic_layer, seed_layer};
use crate::warning::warnings;
use crate::yaml::{self, Place};
use crate::{
    Environment, Fingerprint, Loaded, Origin, Section, SettingError, SettingErrors, Settings, breakers,
    degradation, flat, health, reference,
};

/// Reads settings from files and the environment.
///
/// Each layer replaces what the ones before it say: the defaults; files, in the order in which they are given; the original's
/// variables (`CB_REDIS_TIMEOUT`); the variables that every key has (`MAINSTAY__CIRCUIT_BREAKERS__REDIS__OPEN_FOR`).
///
/// ```
/// use std::time::Duration;
/// use mainstay_config::{Environment, Loader};
///
/// let file = "
/// circuit_breakers:
///   redis: { timeout: 60s, max_failures: 5 }
/// ";
/// let environment = Environment::from_iter([("CB_REDIS_TIMEOUT", "20s")]);
/// let loaded = Loader::new().text("mainstay.yaml", file).environment(environment).load()?;
/// let redis = &loaded.settings().breaker("redis").settings;
/// assert_eq!(redis.open_for.first(), Duration::from_secs(20));
/// # Ok::<(), mainstay_config::SettingErrors>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a loader reads nothing until it loads"]
pub struct Loader {
    sources: Vec<Source>,
    environment: Environment,
    sections: Vec<Own>,
}

/// A section of the program's own.
#[derive(Clone)]
struct Own {
    name: String,
    check: Option<Arc<CheckSection>>,
}

type CheckSection = dyn Fn(&mut Section) + Send + Sync;

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text { name: Arc<str>, text: Arc<str> },
}

impl Loader {
    /// Reads nothing yet: the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, at most 1 MiB of YAML. It is read whenever this loader [loads](Self::load).
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// Adds a text as if it were a file of that name.
    pub fn text(mut self, name: impl AsRef<str>, text: impl AsRef<str>) -> Self {
        self.sources.push(Source::Text { name: Arc::from(name.as_ref()), text: Arc::from(text.as_ref()) });
        self
    }

    /// The environment variables. Default: none; [`Environment::from_process`] for those of the process.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Allows a section of the program's own at the top of the file, to be read with [`Loaded::section`]. The names of the
    /// library's sections are not among those that can be allowed.
    pub fn allow_section(mut self, name: impl Into<String>) -> Self {
        self.sections.push(Own { name: name.into(), check: None });
        self
    }

    /// The same, and checks the section at each [load](Self::load): what is wrong with it is told with everything else, and a file whose
    /// section is wrong is not loaded; so is any if the section is one of the library's. What `check` reads is thrown away; the program reads it again, from [`Loaded::section`].
    ///
    /// ```
    /// use mainstay_config::{Loader, Section};
    ///
    /// fn port(gateway: &mut Section) -> u16 {
    ///     gateway.number("port").required()
    /// }
    ///
    /// let loader = |file| Loader::new().text("g.yaml", file).check_section("gateway", |gateway| _ = port(gateway));
    /// let errors = loader("{ gateway: { port: many }, health: { seed: x } }").load().unwrap_err();
    /// assert_eq!(errors.iter().count(), 2);
    /// assert_eq!(port(&mut loader("gateway: { port: 80 }").load()?.section("gateway")), 80);
    /// # Ok::<(), mainstay_config::SettingErrors>(())
    /// ```
    pub fn check_section(
        mut self,
        name: impl Into<String>,
        check: impl Fn(&mut Section) + Send + Sync + 'static,
    ) -> Self {
        self.sections.push(Own { name: name.into(), check: Some(Arc::new(check)) });
        self
    }

    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            Source::File(path) => Some(path.as_path()),
            Source::Text { .. } => None,
        })
    }

    /// Reads, checks and completes everything, anew each time.
    ///
    /// # Errors
    ///
    /// Everything that is wrong: what is in files in the order in which they were given, then variables by name.
    ///
    /// Should the parser of YAML panic, which nothing is known to make it do, that is one as well; but the panic hook of the
    /// process runs, so that the default one prints, and a program that is built to abort on panics does.
    pub fn load(&self) -> Result<Loaded, SettingErrors> {
        let mut errors = Errors::default();
        let mut merged = Node::map(Origin::Default);
        let (mut lacking, mut empty) = (false, !self.sources.is_empty());
        for (index, source) in self.sources.iter().enumerate() {
            let layer = self.parse(source, index, &mut errors);
            lacking |= layer.is_none();
            if let Some((mut layer, nothing)) = layer {
                empty &= nothing;
                reference::resolve(&mut layer, &self.environment, "", &mut errors);
                self.check(&mut layer, &mut errors);
                merge(&mut merged, &layer, Some(&ROOT_SHAPE));
            }
        }
        let layer = seed_layer(&self.environment, &mut errors);
        merge(&mut merged, &layer, Some(&ROOT_SHAPE));
        let mut layer = generic_layer(&self.environment, &merged, &self.own_sections(), &mut errors);
        self.check(&mut layer, &mut errors);
        merge(&mut merged, &layer, Some(&ROOT_SHAPE));
        if lacking {
            return Err(errors.into());
        }

        let mut contradictions = Errors::default();
        let (breakers, breakers_node, inherited) =
            breakers::read(merged.get("circuit_breakers"), &mut contradictions);
        let (health, health_node) = health::read(merged.get("health"), &mut contradictions);
        let (degradation, degradation_node) =
            degradation::read(merged.get("degradation"), &mut contradictions);
        errors.add_contradictions(contradictions);
        let mut effective = Node::map(Origin::Default);
        effective.set("circuit_breakers", breakers_node);
        effective.set("health", health_node);
        effective.set("degradation", degradation_node);
        // What `default` leads to counts, not how it is said.
        let compared = canonical(&effective);
        let mut counted = compared.clone();
        counted.remove("circuit_breakers.default");
        counted.set("inherited", inherited);
        let fingerprint = Fingerprint::of(&flat::flatten(&counted));
        let own = self.own_sections();
        let sections = merged.entries().iter().filter(|entry| own.contains(&entry.key));
        let sections = sections.map(|entry| (entry.key.clone(), entry.node.clone())).collect();
        let place = self.place();
        for Own { name, check } in &self.sections {
            if let Some(check) = check {
                if !own.contains(name) {
                    let found = format!("a check of the section `{name}`");
                    errors.push(SettingError::new(
                        &place,
                        name,
                        found,
                        "one of a section of the program's own",
                    ));
                    continue;
                }
                let mut section = Section::new(name, merged.get(name), &place);
                check(&mut section);
                errors.extend(section.finish().err().iter().flatten().cloned());
            }
        }
        let settings = Settings::new(breakers, health, degradation);
        let warnings = warnings(&effective);
        let loaded = Loaded {
            settings,
            effective,
            compared,
            fingerprint,
            sections,
            place,
            empty,
            warnings: warnings.clone(),
        };
        errors.into_result_with(loaded, warnings)
    }

    /// Where something is missing that stands nowhere: in the file on top, if there is one.
    fn place(&self) -> Origin {
        let name = |source: &Source| match source {
            Source::File(path) => Arc::from(path.display().to_string()),
            Source::Text { name, .. } => name.clone(),
        };
        let file = self.sources.iter().enumerate().next_back();
        file.map_or(Origin::Settings, |(layer, source)| Place::File { name: name(source), layer }.whole())
    }

    fn own_sections(&self) -> Vec<String> {
        let names = self.sections.iter().map(|own| own.name.clone());
        names.filter(|name| ROOT.get(name).is_none()).collect()
    }

    /// What a source says, and whether that is nothing at all.
    fn parse(&self, source: &Source, layer: usize, errors: &mut Errors) -> Option<(Node, bool)> {
        let (name, text) = match source {
            Source::File(path) => (Arc::from(path.display().to_string()), read(path)),
            Source::Text { name, text } => (name.clone(), Ok(text.to_string())),
        };
        let place = Place::File { name, layer };
        let text = match text {
            Ok(text) => text,
            Err(found) => {
                let expected = "a file of at most 1048576 bytes of YAML";
                errors.push(SettingError::new(&place.whole(), "", found, expected));
                return None;
            }
        };
        let (node, wrong) = yaml::parse(&text, &place);
        errors.extend(wrong);
        match node? {
            Node { value: Value::Null, origin, .. } => Some((Node::map(origin), true)),
            node if node.is_map() => Some((node, false)),
            node => {
                errors.push(SettingError::at(&node, "", "a map of sections"));
                None
            }
        }
    }

    fn check(&self, layer: &mut Node, errors: &mut Errors) {
        let own = self.own_sections();
        for Entry { key, at, node } in layer.entries_mut() {
            match ROOT.get(key) {
                Some(known) => check(node, &known.shape, key, errors),
                None if own.contains(key) => {}
                None => {
                    let mut known: Vec<&str> = ROOT.names().collect();
                    known.extend(own.iter().map(String::as_str));
                    errors.push(unknown(at, "", key, known));
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read;

    let unreadable = |error: std::io::Error| format!("what cannot be read ({})", error.kind());
    let mut bytes = Vec::new();
    // To open a pipe would be to wait for who writes to it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("what is no regular file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(yaml::MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > yaml::MAX_BYTES {
        return Err("more".to_owned());
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("a byte that is not UTF-8, after {}", error.utf8_error().valid_up_to()))
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => path.fmt(f),
            Source::Text { name, .. } => name.fmt(f),
        }
    }
}
