use mainstay_core::Name;

use crate::state::{Entry, State};

// === impl State ===

impl State {
    /// Says to those above a check that it is below them.
    pub(crate) fn link_parents(&mut self, place: usize) {
        let parents =
            self.entries.get(place).and_then(Option::as_ref).map(|entry| entry.settings.depends_on.clone());
        for parent in parents.unwrap_or_default() {
            if let Some(parent) = self.by_name.get(&parent).copied().and_then(|place| self.entry(place)) {
                parent.children.push(place);
            }
        }
    }

    /// Says to every check who is below it.
    pub(crate) fn link(&mut self) {
        self.entries.iter_mut().flatten().for_each(|entry| entry.children.clear());
        (0..self.entries.len()).for_each(|place| self.link_parents(place));
    }

    /// Checks that depend on one.
    pub(crate) fn dependents(&self, name: &str) -> Vec<Name> {
        let depends = |entry: &&Entry| entry.settings.depends_on.iter().any(|parent| parent.as_str() == name);
        let below = self.entries.iter().flatten().filter(depends);
        below.map(|entry| entry.slot.name).collect()
    }

    /// What each check depends on.
    pub(crate) fn dependencies(&self) -> impl Iterator<Item = (Name, &[Name])> {
        self.entries.iter().flatten().map(|entry| (entry.slot.name, entry.settings.depends_on.as_slice()))
    }
}
