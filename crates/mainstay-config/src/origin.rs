use std::fmt;
use std::sync::Arc;

use crate::visible::Visible;

/// Where a value comes from. Places are in the order in which they replace each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The library's default.
    Default,
    /// The defaults of a variables' prefix, such as `CB_REDIS_*`.
    Table(&'static str),
    /// The settings as a whole, if there is no file: where something is missing.
    Settings,
    /// A file.
    #[non_exhaustive]
    File {
        /// Which one of the loader's files and texts, from 0 on.
        layer: usize,
        /// Its name, as it was given.
        file: Arc<str>,
        /// The line, from 1 on; 0 for the file as a whole.
        line: usize,
        /// The column in characters, from 1 on; 0 for the file as a whole.
        column: usize,
    },
    /// An environment variable.
    Variable(Arc<str>),
}

impl Origin {
    /// Without the column, for a comment beside the value.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Origin::File { file, line, .. } => format!("{}:{line}", Visible(file)),
            other => other.to_string(),
        }
    }

    /// Whether nobody said so: a default or a row of a table.
    pub(crate) fn is_unsaid(&self) -> bool {
        matches!(self, Origin::Default | Origin::Table(_))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Table(row) => write!(f, "default of {row}"),
            Origin::Settings => f.write_str("the settings"),
            Origin::File { file, line: 0, .. } => Visible(file).fmt(f),
            Origin::File { file, line, column, .. } => write!(f, "{}:{line}:{column}", Visible(file)),
            Origin::Variable(name) => Visible(name).fmt(f),
        }
    }
}
