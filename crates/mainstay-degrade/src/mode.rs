use std::fmt;
use std::time::Duration;

use mainstay_core::ConfigError;
use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, Level, Reason};

/// How elaborate a piece of work runs: a ladder over an enum of your own.
///
/// ```
/// use mainstay_degrade::Mode;
///
/// #[derive(Clone, Copy, Debug, PartialEq, Eq)]
/// enum Search { Titles, Texts }
///
/// impl Mode for Search {
///     const LADDER: &'static [Self] = &[Search::Titles, Search::Texts];
///
///     fn name(self) -> &'static str {
///         match self {
///             Search::Titles => "titles",
///             Search::Texts => "texts",
///         }
///     }
/// }
/// ```
pub trait Mode: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// All modes, the cheapest first.
    const LADDER: &'static [Self];

    /// What it is called, where it is asked for by name.
    fn name(self) -> &'static str;

    /// How long a piece of work in this mode may take. Default: nothing is said.
    fn budget(self) -> Option<Duration> {
        None
    }
}

/// The modes of the system that this one re-creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionMode {
    /// 100 ms.
    Simple,
    /// 2 s.
    Standard,
    /// 10 s.
    Complex,
}

impl Mode for ExecutionMode {
    const LADDER: &'static [Self] = &[Self::Simple, Self::Standard, Self::Complex];

    fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Standard => "standard",
            Self::Complex => "complex",
        }
    }

    fn budget(self) -> Option<Duration> {
        Some(match self {
            Self::Simple => Duration::from_millis(100),
            Self::Standard => Duration::from_secs(2),
            Self::Complex => Duration::from_secs(10),
        })
    }
}

/// Which mode is granted for which, at each level.
#[derive(Clone, Debug)]
pub struct ModeRules<M: Mode> {
    /// For each level, for each step of the ladder: the step that is granted.
    granted: [Vec<usize>; 4],
    /// What was said: from which level on which step gets which.
    said: Vec<(Level, usize, usize)>,
    modes: std::marker::PhantomData<M>,
}

/// Which mode a piece of work gets, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModeDecision<M> {
    /// What was asked for.
    pub requested: M,
    /// What it gets.
    pub granted: M,
    /// Whether that is less.
    pub downgraded: bool,
    /// The level that decided.
    pub level: Level,
    /// The number of the assessment that it was decided by.
    pub epoch: u64,
    /// What made the level, if it made the mode less.
    pub reason: Option<Cause>,
}

/// A mode that was asked for by a name that none has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no mode {name:?}; there are {}", known.join(", "))]
#[non_exhaustive]
pub struct UnknownMode {
    /// What was asked for.
    pub name: String,
    /// What there is, the cheapest first.
    pub known: Vec<&'static str>,
}

impl<M> ModeDecision<M> {
    /// Why the mode is less than what was asked for, in one word of the fixed vocabulary.
    pub fn reason(&self) -> Option<Reason> {
        self.downgraded
            .then(|| self.reason.as_ref().map_or(Reason::HighDegradationLevel, |cause| cause.what.reason()))
    }
}

impl<M: Mode> ModeRules<M> {
    /// Every mode is granted at every level.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a ladder that is empty, or in which a mode or a name stands twice.
    pub fn new() -> Result<Self, ConfigError> {
        if M::LADDER.is_empty() {
            return Err(ConfigError::new("modes", "[]", "must have at least one mode"));
        }
        for (index, mode) in M::LADDER.iter().enumerate() {
            let twice = |other: &M| other == mode || other.name() == mode.name();
            if M::LADDER.iter().skip(index + 1).any(twice) {
                return Err(ConfigError::new("modes", mode.name(), "must stand in the ladder once"));
            }
        }
        let all: Vec<usize> = (0..M::LADDER.len()).collect();
        let granted = [all.clone(), all.clone(), all.clone(), all];
        Ok(Self { granted, said: Vec::new(), modes: std::marker::PhantomData })
    }

    /// From this level on, who asks for `requested` gets `granted`.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a mode that is not in the ladder, for the level none, and for a rule that would grant more than was
    /// asked for, or that contradicts another one: more than at a better level, less than at a worse one, or a second rule for
    /// the same.
    pub fn at(mut self, level: Level, requested: M, granted: M) -> Result<Self, ConfigError> {
        let field = || format!("modes.{level}.{}", requested.name());
        let step = |mode: M| {
            let missing = || ConfigError::new(field(), mode.name(), "must be in the ladder");
            M::LADDER.iter().position(|known| *known == mode).ok_or_else(missing)
        };
        let (asked, gets) = (step(requested)?, step(granted)?);
        if gets > asked {
            return Err(ConfigError::new(field(), granted.name(), "must not be more than what is asked for"));
        }
        if level == Level::None {
            return Err(ConfigError::new(field(), level, "must be a level at which something is wrong"));
        }
        for (other, _, grants) in self.said.iter().filter(|(_, of, _)| *of == asked) {
            let rule = match other.cmp(&level) {
                std::cmp::Ordering::Equal => "must be said once".to_owned(),
                std::cmp::Ordering::Less if gets > *grants => {
                    format!("must not be more than at level {other}")
                }
                std::cmp::Ordering::Greater if gets < *grants => {
                    format!("must not be less than at level {other}")
                }
                _ => continue,
            };
            return Err(ConfigError::new(field(), granted.name(), rule));
        }
        self.said.push((level, asked, gets));
        for worse in Level::ALL.into_iter().filter(|worse| *worse >= level) {
            let steps = self.granted.get_mut(usize::from(worse.as_number()));
            if let Some(step) = steps.and_then(|steps| steps.get_mut(asked)) {
                *step = gets.min(*step);
            }
        }
        Ok(self)
    }

    fn step(&self, level: Level, asked: usize) -> usize {
        let steps = self.granted.get(usize::from(level.as_number()));
        steps.and_then(|steps| steps.get(asked)).copied().unwrap_or(asked)
    }

    /// Which mode is granted at a level. One that is not in the ladder is granted what the most elaborate one is.
    pub fn granted(&self, level: Level, requested: M) -> M {
        if level == Level::None {
            return requested;
        }
        let known = M::LADDER.iter().position(|known| *known == requested);
        let asked = known.unwrap_or(M::LADDER.len().saturating_sub(1));
        let granted = self.step(level, asked);
        if granted == asked { requested } else { M::LADDER.get(granted).copied().unwrap_or(requested) }
    }

    /// Decides by an assessment: the same one gives the same answer.
    pub fn decide(&self, assessment: &Assessment, requested: M) -> ModeDecision<M> {
        let granted = self.granted(assessment.level, requested);
        let downgraded = granted != requested;
        let reason = if downgraded { assessment.worst().cloned() } else { None };
        let Assessment { level, epoch, .. } = *assessment;
        ModeDecision { requested, granted, downgraded, level, epoch, reason }
    }

    /// A mode by its name.
    ///
    /// # Errors
    ///
    /// [`UnknownMode`], with the names there are.
    pub fn by_name(name: &str) -> Result<M, UnknownMode> {
        let found = M::LADDER.iter().find(|mode| mode.name() == name).copied();
        found.ok_or_else(|| UnknownMode {
            name: name.to_owned(),
            known: M::LADDER.iter().map(|mode| mode.name()).collect(),
        })
    }
}

impl ModeRules<ExecutionMode> {
    /// The rules of the system that this one re-creates: minor makes complex standard, moderate makes standard simple as
    /// well, severe makes all simple.
    pub fn seed() -> Self {
        // The steps of the ladder by their place in it.
        let (simple, standard, complex) = (0, 1, 2);
        Self {
            granted: [
                vec![simple, standard, complex],
                vec![simple, standard, standard],
                vec![simple, simple, standard],
                vec![simple, simple, simple],
            ],
            said: vec![
                (Level::Minor, complex, standard),
                (Level::Moderate, standard, simple),
                (Level::Severe, complex, simple),
            ],
            modes: std::marker::PhantomData,
        }
    }
}
