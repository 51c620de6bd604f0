use std::fmt;

use mainstay_config::{Origin, SettingError};
use serde::Serialize;

use crate::output::one_line;

/// One thing that is wrong with the settings, as people and as machines read it.
#[derive(PartialEq, Eq, Serialize)]
pub(crate) struct Mistake {
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    variable: Option<String>,
    path: String,
    found: String,
    expected: String,
    hint: Option<String>,
    /// The file with line and column, or the variable.
    #[serde(skip)]
    place: String,
}

impl Mistake {
    /// A file of which nothing could be read.
    pub(crate) fn of_file(file: &str, found: String, expected: &str) -> Self {
        Self {
            file: Some(file.to_owned()),
            line: None,
            column: None,
            variable: None,
            path: String::new(),
            found,
            expected: expected.to_owned(),
            hint: None,
            place: file.to_owned(),
        }
    }
}

impl From<&SettingError> for Mistake {
    fn from(error: &SettingError) -> Self {
        let (mut file, mut place, mut variable) = (None, (0, 0), None);
        match &error.origin {
            Origin::File { file: name, line, column, .. } => {
                (file, place) = (Some(name.to_string()), (*line, *column));
            }
            Origin::Variable(name) => variable = Some(name.to_string()),
            _ => {}
        }
        let known = |number: usize| (number > 0).then_some(number);
        Self {
            file,
            line: known(place.0),
            column: known(place.1),
            variable,
            path: error.path.clone(),
            found: error.found.clone(),
            expected: error.expected.clone(),
            hint: error.hint.clone(),
            place: error.origin.to_string(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", one_line(&self.place))?;
        if !self.path.is_empty() {
            write!(f, "{}: ", one_line(&self.path))?;
        }
        write!(f, "found {}, expected {}", one_line(&self.found), one_line(&self.expected))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {}", one_line(hint)),
            None => Ok(()),
        }
    }
}
