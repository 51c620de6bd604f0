//! What may stand where: the one description of all keys, from which checks, hints, schema and variables are made.

use std::time::Duration;

/// What a value looks like.
pub(crate) enum Shape {
    Bool,
    /// A whole number.
    Count {
        least: u64,
        most: u64,
    },
    Number {
        least: f64,
        /// Whether `least` itself is too little.
        above: bool,
        most: f64,
    },
    Duration {
        least: Duration,
        most: Duration,
        /// Whether `none` may be said, to take away what is inherited.
        none: bool,
    },
    /// The end of a rule of a check: a duration, or a number.
    DurationOrNumber,
    Text,
    /// A [`Name`](mainstay_core::Name).
    Name,
    Choice(&'static [&'static str]),
    List {
        of: &'static Shape,
        least: usize,
        most: usize,
    },
    /// Keys that are known.
    Map(&'static Table),
    /// Keys that are names, of things of one shape; and perhaps `default`, which is not a name.
    Names {
        of: &'static Shape,
        default: bool,
    },
    /// A scalar as a short form of a map: it stands for these keys of the map; for none, it stays what it is.
    Either {
        scalar: &'static Shape,
        map: &'static Shape,
        keys: &'static [&'static str],
    },
}

/// The keys of a map.
pub(crate) struct Table {
    pub(crate) keys: &'static [Key],
    /// Words for one thing, as paths: of each pair only one may be given, and it takes the place of the other.
    pub(crate) instead: &'static [(&'static str, &'static str)],
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// In words or as it would be written; empty if there is none.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

impl Key {
    pub(crate) const fn new(
        name: &'static str,
        shape: Shape,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, shape, default, doc }
    }
}

impl Table {
    pub(crate) fn get(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

impl Shape {
    /// Any positive whole number.
    pub(crate) const COUNT: Self = Self::Count { least: 1, most: u32::MAX as u64 };
    /// A whole number or zero.
    pub(crate) const FIGURE: Self = Self::Count { least: 0, most: u32::MAX as u64 };
    /// A duration in which time passes.
    pub(crate) const TIME: Self = Self::Duration { least: NANO, most: YEAR, none: false };
    /// The same, or `none`.
    pub(crate) const TIME_OR_NONE: Self = Self::Duration { least: NANO, most: YEAR, none: true };
    /// A duration, or zero.
    pub(crate) const TIME_OR_ZERO: Self = Self::Duration { least: Duration::ZERO, most: YEAR, none: false };
    /// More than 0, at most 1.
    pub(crate) const RATE: Self = Self::Number { least: 0.0, above: true, most: 1.0 };
    /// From 0 to 1.
    pub(crate) const SHARE: Self = Self::Number { least: 0.0, above: false, most: 1.0 };

    /// What an error says was expected.
    pub(crate) fn expected(&self) -> String {
        match self {
            Shape::Bool => "true or false".to_owned(),
            Shape::Count { least, most } => match u32::try_from(*most) {
                Ok(u32::MAX) | Err(_) => format!("a whole number, at least {least}"),
                Ok(most) => format!("a whole number from {least} to {most}"),
            },
            Shape::Number { least, above, most } => match (above, *most == f64::MAX) {
                (_, true) => "a number".to_owned(),
                (true, _) => format!("a number above {least} and at most {most}"),
                (false, _) => format!("a number from {least} to {most}"),
            },
            Shape::Duration { least, most, none } => {
                let limits = match (least.is_zero(), *least == NANO, *most == YEAR) {
                    (true, _, true) => ", at most 365days".to_owned(),
                    (_, true, true) => ", longer than zero and at most 365days".to_owned(),
                    _ => {
                        format!(", from {} to {}", crate::check::format(*least), crate::check::format(*most))
                    }
                };
                let none = if *none { ", or `none`" } else { "" };
                format!("a duration with a unit, such as 250ms, 30s or 1h30m{limits}{none}")
            }
            Shape::DurationOrNumber => "a duration with a unit, or a number".to_owned(),
            Shape::Text => "text".to_owned(),
            Shape::Name => "a name of 1 to 128 bytes".to_owned(),
            Shape::Choice(words) => format!("one of {}", listed(words.iter().copied())),
            Shape::List { of, least, most } if *least == 0 => {
                format!("a list of at most {most}, each {}", of.expected())
            }
            Shape::List { of, least, most } => {
                format!("a list of {least} to {most}, each {}", of.expected())
            }
            Shape::Map(table) => format!("a map with keys of {}", listed(table.names())),
            Shape::Names { .. } => "a map of names".to_owned(),
            Shape::Either { scalar, map, .. } => format!("{}, or {}", scalar.expected(), map.expected()),
        }
    }

    /// What a key of a map stands for.
    pub(crate) fn below(&self, key: &str) -> Option<&'static Shape> {
        match self {
            Shape::Map(table) => table.get(key).map(|key| &key.shape),
            Shape::Names { of, .. } => Some(of),
            Shape::Either { map, .. } => map.below(key),
            _ => None,
        }
    }

    /// The keys of a map, if they are known ones.
    pub(crate) fn table(&self) -> Option<&'static Table> {
        match self {
            Shape::Map(table) => Some(table),
            Shape::Either { map, .. } => map.table(),
            _ => None,
        }
    }
}

pub(crate) fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

pub(crate) const NANO: Duration = Duration::from_nanos(1);
pub(crate) const YEAR: Duration = mainstay_core::MAX_DURATION;
