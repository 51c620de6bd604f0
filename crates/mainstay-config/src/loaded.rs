use std::collections::BTreeMap;
use std::fmt;

use crate::node::Node;
use crate::{
    Change, Effective, Fingerprint, Origin, Section, Settings, Warning, effective, flat, path, show,
};

/// Settings that are in force, and where each value comes from.
#[derive(Clone)]
pub struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) effective: Node,
    /// The same, as it is compared.
    pub(crate) compared: Node,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) sections: BTreeMap<String, Node>,
    /// Where a section is missing.
    pub(crate) place: Origin,
    pub(crate) empty: bool,
    pub(crate) warnings: Vec<Warning>,
}

impl Loaded {
    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All effective settings as YAML, each with its origin in a comment. It loads again, in the same environment, to the same
    /// [`fingerprint`](Self::fingerprint). A `${VARIABLE}` is written as it was, not as what it stands for; the program's own
    /// sections are left out.
    pub fn show(&self) -> String {
        show::yaml(&self.effective)
    }

    /// Every effective setting with its path and its origin, in the order of [`show`](Self::show). An empty list or map is one.
    pub fn values(&self) -> Vec<Effective> {
        effective::leaves(&self.effective)
    }

    /// All effective settings as JSON, which loads again as [`show`](Self::show) does.
    pub fn to_json(&self) -> serde_json::Value {
        effective::json(&self.effective)
    }

    /// The same as [`to_json`](Self::to_json), with the origin of each value in its place, such as `mainstay.yaml:12`.
    pub fn origins_to_json(&self) -> serde_json::Value {
        effective::origins(&self.effective)
    }

    /// A number for the effective settings: two processes with the same one run with the same settings, whatever the order of
    /// the keys, the layers, and the way in which a duration was written. The program's own sections do not count.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What is different in other settings: from these to those, sorted by path.
    pub fn diff(&self, other: &Self) -> Vec<Change> {
        flat::diff(&flat::flatten(&self.compared), &flat::flatten(&other.compared))
    }

    /// The paths at which the program's own sections are different in other settings, sorted; without values, because only the
    /// program knows what is secret in them.
    pub fn sections_differ(&self, other: &Self) -> Vec<String> {
        let all = |loaded: &Self| {
            let mut all = Node::map(Origin::Default);
            loaded.sections.iter().for_each(|(name, section)| all.set(name, section.clone()));
            flat::flatten(&all)
        };
        flat::diff(&all(self), &all(other)).into_iter().map(|change| change.path).collect()
    }

    /// Whether there are files, and every one of them is an empty document, or has nothing but comments: perhaps somebody is about to
    /// write them. A file that says `{}` is not empty.
    pub fn files_are_empty(&self) -> bool {
        self.empty
    }

    /// A section of the program's own, to be read. One that is not there is read as an empty one.
    pub fn section(&self, name: &str) -> Section {
        Section::new(name, self.sections.get(name), &self.place)
    }

    /// Where the value at a path comes from, such as `circuit_breakers.redis.half_open.max_in_flight`; paths are written as
    /// errors and changes have them.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        path::find(&self.effective, path).map(|node| &node.origin)
    }

    /// What is no mistake, and perhaps not meant: critical checks that do not say whose the checked thing is, and so behave as
    /// the original's did.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}
