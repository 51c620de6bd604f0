use std::collections::BTreeSet;

/// What the query of a probe asks for.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pub(crate) verbose: bool,
    pub(crate) excluded: BTreeSet<String>,
}

impl Query {
    pub(crate) fn of(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "verbose" => asked.verbose = true,
                "exclude" => {
                    asked.excluded.insert(value.into_owned());
                }
                _ => {}
            }
        }
        asked
    }
}
