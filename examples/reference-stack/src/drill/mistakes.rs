use std::fmt;

/// A field of a plan that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    field: String,
    what: String,
}

/// All that is wrong with a plan.
#[derive(Debug)]
pub(crate) struct Mistakes(pub(crate) Vec<Mistake>);

// === impl Mistake ===

impl Mistake {
    /// A field that has a value, and the rule that it breaks.
    pub(crate) fn new(field: &str, value: &str, rule: impl AsRef<str>) -> Self {
        let what = format!("is {value:?}, but must be {}", rule.as_ref());
        Self { field: field.to_owned(), what }
    }

    /// A field that cannot be read at all.
    pub(crate) fn unreadable(field: &str, why: &str) -> Self {
        let field = if field == "." { "plan" } else { field };
        Self { field: field.to_owned(), what: why.to_owned() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.what)
    }
}

// === impl Mistakes ===

impl Mistakes {
    pub(crate) fn one(mistake: Mistake) -> Self {
        Self(vec![mistake])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plan is refused:")?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}
