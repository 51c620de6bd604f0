//! `${VARIABLE}` in texts.

use std::sync::Arc;

use crate::error::{Errors, SettingError, did_you_mean};
use crate::node::{Node, Value};
use crate::{Environment, path};

/// Puts the values of variables into the place of their references, in a whole tree.
pub(crate) fn resolve(node: &mut Node, environment: &Environment, path: &str, errors: &mut Errors) {
    match &mut node.value {
        Value::List(items) => {
            for (index, node) in items.iter_mut().enumerate() {
                resolve(node, environment, &path::item(path, index), errors);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                resolve(&mut entry.node, environment, &path::join(path, &entry.key), errors);
            }
        }
        Value::Text(text) if text.contains("${") => {
            let written = std::mem::take(text);
            match fill(&written, environment) {
                Ok(Filled { text, variables: 0, .. }) => node.value = Value::Text(text),
                Ok(Filled { text, whole, .. }) => {
                    node.value = if whole { crate::yaml::resolve(&text) } else { Value::Text(text) };
                    node.reference = Some(Arc::from(written));
                }
                Err(Unfilled { found, expected, hint }) => {
                    errors.push(SettingError::new(&node.origin, path, found, expected).hint(hint));
                    node.value = Value::Unset;
                }
            }
        }
        _ => {}
    }
}

struct Filled {
    text: String,
    variables: usize,
    /// Whether a variable's value is all there is.
    whole: bool,
}

struct Unfilled {
    found: String,
    expected: &'static str,
    hint: Option<String>,
}

fn fill(written: &str, environment: &Environment) -> Result<Filled, Unfilled> {
    let (mut text, mut rest, mut variables, mut around) = (String::new(), written, 0, false);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            (rest, around) = (after, true);
            continue;
        }
        let Some((name, after)) = after.split_once('}') else {
            let found = "`${` without `}`".to_owned();
            return Err(Unfilled {
                found,
                expected: "`${VARIABLE}`, or `$${` for the characters `${`",
                hint: None,
            });
        };
        let is_name =
            !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        if !is_name {
            let found = format!("`${{{}}}`", crate::node::shortened(name));
            let expected =
                "`${VARIABLE}` with a name of letters, digits and `_`, or `$${` for the characters `${`";
            return Err(Unfilled { found, expected, hint: None });
        }
        if environment.is_no_text(name) {
            let found = format!("`${{{name}}}` with a value that is not UTF-8");
            return Err(Unfilled { found, expected: "a variable with text", hint: None });
        }
        let Some(value) = environment.get(name) else {
            let hint = did_you_mean(name, environment.names());
            return Err(Unfilled {
                found: format!("`${{{name}}}`"),
                expected: "a variable that is set",
                hint,
            });
        };
        around |= !before.is_empty();
        text.push_str(before);
        text.push_str(value);
        variables += 1;
        rest = after;
    }
    text.push_str(rest);
    Ok(Filled { whole: variables == 1 && !around && rest.is_empty(), text, variables })
}
