//! The list of settings as trees, for machines.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value};

/// The values of a list of settings, and their origins, which have the same shape.
pub(crate) struct Trees {
    pub(crate) values: Value,
    pub(crate) origins: Value,
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    events: Parser<'a, StrInput<'a>>,
}

impl Trees {
    /// Reads a list; none if it is none.
    pub(crate) fn of(list: &str) -> Option<Self> {
        let mut reader = Reader { lines: list.lines().collect(), events: Parser::new_from_str(list) };
        loop {
            let (event, line) = reader.next()?;
            if !matches!(event, Event::StreamStart | Event::DocumentStart(_)) {
                return reader.node(event, line);
            }
        }
    }

    fn leaf(value: Value, origin: &str) -> Self {
        Self { values: value, origins: origin.into() }
    }
}

impl<'a> Reader<'a> {
    /// What comes next, and its line, from 1 on.
    fn next(&mut self) -> Option<(Event<'a>, usize)> {
        let (event, span) = self.events.next()?.ok()?;
        Some((event, span.start.line()))
    }

    fn node(&mut self, event: Event<'a>, line: usize) -> Option<Trees> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => Some(Trees::leaf(plain(&text), self.origin(line))),
            Event::Scalar(text, ..) => Some(Trees::leaf(text.into_owned().into(), self.origin(line))),
            Event::MappingStart(..) => self.map(line),
            Event::SequenceStart(..) => self.list(line),
            _ => None,
        }
    }

    fn map(&mut self, line: usize) -> Option<Trees> {
        let (mut values, mut origins) = (Map::new(), Map::new());
        while let (Event::Scalar(key, ..), _) = self.next()? {
            let (event, line) = self.next()?;
            let below = self.node(event, line)?;
            values.insert(key.to_string(), below.values);
            origins.insert(key.into_owned(), below.origins);
        }
        if values.is_empty() {
            return Some(Trees::leaf(Value::Object(values), self.origin(line)));
        }
        Some(Trees { values: values.into(), origins: origins.into() })
    }

    fn list(&mut self, line: usize) -> Option<Trees> {
        let (mut values, mut origins) = (Vec::new(), Vec::new());
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            let below = self.node(event, line)?;
            values.push(below.values);
            origins.push(below.origins);
        }
        if values.is_empty() {
            return Some(Trees::leaf(Value::Array(values), self.origin(line)));
        }
        Some(Trees { values: values.into(), origins: origins.into() })
    }

    /// What the comment of a line says.
    fn origin(&self, line: usize) -> &'a str {
        let text = self.lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let comment = comment(text).and_then(|at| text.get(at..)).unwrap_or_default();
        comment.trim_start_matches('#').trim_start()
    }
}

/// What a scalar without quotes is, where settings are written.
fn plain(text: &str) -> Value {
    let number = text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    match (text, text.parse::<f64>()) {
        ("~", _) => Value::Null,
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(float)) if number && float.is_finite() => {
            serde_json::from_str(text).unwrap_or_else(|_| float.into())
        }
        _ => text.into(),
    }
}

/// Where the comment of a line begins: quoted texts may have a `#`, too.
pub(crate) fn comment(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    line.char_indices().find_map(|(at, char)| {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '#' if !quoted => return Some(at),
            _ => {}
        }
        None
    })
}
