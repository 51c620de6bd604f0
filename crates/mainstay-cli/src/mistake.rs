use std::fmt;

use mainstay_config::{Origin, SettingError, SettingErrors, Warning};
use serde::Serialize;

use crate::sources::visible;

/// Why settings could not be loaded, as people and as machines read it.
#[derive(Default)]
pub(crate) struct Mistakes {
    pub(crate) errors: Vec<Mistake>,
    pub(crate) warnings: Vec<Warning>,
}

/// One thing that is wrong with the settings.
#[derive(PartialEq, Eq, Serialize)]
pub(crate) struct Mistake {
    #[serde(flatten)]
    place: Place,
    path: String,
    found: String,
    expected: String,
    hint: Option<String>,
    /// As people read it.
    #[serde(skip)]
    told: String,
}

/// A file with line and column, or a variable.
#[derive(Default, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    variable: Option<String>,
}

impl Mistake {
    /// A file of which nothing could be read.
    pub(crate) fn of_file(file: &str, found: String, expected: &str) -> Self {
        Self {
            place: Place { file: Some(file.to_owned()), ..Place::default() },
            path: String::new(),
            told: format!("{}: found {found}, expected {expected}", visible(file)),
            found,
            expected: expected.to_owned(),
            hint: None,
        }
    }
}

impl From<&SettingError> for Mistake {
    fn from(error: &SettingError) -> Self {
        Self {
            place: Place::from(&error.origin),
            path: error.path.clone(),
            found: error.found.clone(),
            expected: error.expected.clone(),
            hint: error.hint.clone(),
            told: error.to_string(),
        }
    }
}

impl From<SettingErrors> for Mistakes {
    fn from(errors: SettingErrors) -> Self {
        Self { errors: errors.iter().map(Mistake::from).collect(), warnings: errors.warnings().to_vec() }
    }
}

impl From<Mistake> for Mistakes {
    fn from(mistake: Mistake) -> Self {
        Self { errors: vec![mistake], warnings: Vec::new() }
    }
}

impl From<&Origin> for Place {
    fn from(origin: &Origin) -> Self {
        let known = |number: usize| (number > 0).then_some(number);
        match origin {
            Origin::File { file, line, column, .. } => Self {
                file: Some(file.to_string()),
                line: known(*line),
                column: known(*column),
                variable: None,
            },
            Origin::Variable(name) => Self { variable: Some(name.to_string()), ..Self::default() },
            _ => Self::default(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}
