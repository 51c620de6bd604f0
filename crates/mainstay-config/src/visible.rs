//! Names of keys and files, which may be anything, where people read them.

use std::fmt::{self, Write};

/// A text on one line, and without what a terminal would obey.
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| {
            if is_hidden(char) { write!(f, "{}", char.escape_default()) } else { f.write_char(char) }
        })
    }
}

/// Whether it moves the cursor, ends the line, or turns the direction of what follows.
pub(crate) fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
