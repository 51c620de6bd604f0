use http::HeaderMap;
use http::header::ACCEPT;

/// Of `application/health+json`.
pub(crate) const HEALTH_JSON: &str = "application/health+json";

/// Whether the asker names `application/health+json` as something that it takes. A wildcard names nothing.
#[inline]
pub(crate) fn health_json(headers: &HeaderMap) -> bool {
    match headers.get(ACCEPT) {
        None => false,
        // Most probers send `*/*`, once, and get no further than its length.
        Some(only) if only.len() < HEALTH_JSON.len() && headers.len() == headers.keys_len() => false,
        Some(_) => headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(names_it)),
    }
}

fn names_it(list: &str) -> bool {
    split(list, ',').any(|range| {
        let mut parts = split(range, ';');
        let kind = parts.next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case(HEALTH_JSON) && parts.all(|parameter| !is_zero_weight(parameter))
    })
}

/// Whether it is `q=0`, or a weight that is none.
fn is_zero_weight(parameter: &str) -> bool {
    let Some((name, weight)) = parameter.split_once('=') else { return false };
    let weighs = |weight: f32| weight > 0.0 && weight <= 1.0;
    name.trim().eq_ignore_ascii_case("q") && !weight.trim().parse().is_ok_and(weighs)
}

/// Splits where the separator stands outside of quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let literal = escaped;
        escaped = quoted && character == '\\' && !literal;
        if character == '"' && !literal {
            quoted = !quoted;
        }
        character == separator && !quoted
    })
}
