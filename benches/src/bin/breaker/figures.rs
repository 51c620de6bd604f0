use std::collections::HashMap;

use mainstay_benches::instructions::Executed;
use mainstay_benches::{Face, Id, Path, Who, floor};

use crate::live::Live;
use crate::scaling::Scaling;

/// All that was measured of all subjects.
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
}

/// All that was measured of one subject; per call.
pub(crate) struct Row {
    pub(crate) id: Id,
    pub(crate) nanos: f64,
    /// The throughput of two threads and of eight over that of one.
    pub(crate) scaling: Option<Scaling>,
    pub(crate) allocations: Option<f64>,
    pub(crate) executed: Option<Executed>,
}

impl Figures {
    pub(crate) fn of(subjects: &[Box<dyn Live>]) -> Self {
        let row = |id| Row { id, nanos: f64::NAN, scaling: None, allocations: None, executed: None };
        Self { rows: subjects.iter().map(|subject| row(subject.id())).collect() }
    }

    /// The keys of the subjects whose instructions can be counted: a million breakers take too long under valgrind.
    pub(crate) fn countable(&self) -> Vec<String> {
        self.rows.iter().filter(|row| row.id.path != Path::Keyed).map(|row| row.id.key()).collect()
    }

    pub(crate) fn nanos(&mut self, nanos: &[f64]) {
        self.rows.iter_mut().zip(nanos).for_each(|(row, nanos)| row.nanos = *nanos);
    }

    pub(crate) fn scaling(&mut self, scaling: &[Option<Scaling>]) {
        self.rows.iter_mut().zip(scaling).for_each(|(row, scaling)| row.scaling = *scaling);
    }

    pub(crate) fn allocations(&mut self, calls: &HashMap<String, f64>) {
        self.rows.iter_mut().for_each(|row| row.allocations = calls.get(&row.id.key()).copied());
    }

    pub(crate) fn instructions(&mut self, executed: &HashMap<String, Executed>) {
        self.rows.iter_mut().for_each(|row| row.executed = executed.get(&row.id.key()).copied());
    }

    pub(crate) fn of_path(&self, face: Face, path: Path) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.id.face == face && row.id.path == path)
    }

    /// The bare call that this one guards.
    pub(crate) fn bare(&self, id: Id) -> Option<&Row> {
        let own_path = matches!(id.path, Path::Cloned | Path::Keyed);
        let path = if own_path { id.path } else { Path::Closed };
        self.of_path(id.face, path)
            .find(|row| row.id.who == Who::Bare && (id.path != Path::Keyed || row.id.rule == id.rule))
    }

    /// The fastest of the peers in the same section.
    pub(crate) fn best_peer(&self, id: Id) -> Option<&Row> {
        self.of_path(id.face, id.path)
            .filter(|row| matches!(row.id.who, Who::Peer(_)))
            .min_by(|a, b| a.nanos.total_cmp(&b.nanos))
    }

    /// The least that does as much as one of ours: looks at the clock, keeps the promises of a layer, has the same kind of
    /// handle, which costs a blocking call nothing. Others promise something else, and a slow rule needs a clock that no
    /// floor has.
    pub(crate) fn floor(&self, id: Id) -> Option<&Row> {
        if id.who != Who::Mainstay || id.rule == "slow" {
            return None;
        }
        let layer = id.face == Face::Layer;
        let timed = id.path == Path::Open || ["time window", "default"].contains(&id.rule);
        let same_handle = |row: &Row| id.how.ends_with(row.id.how);
        let fits = |row: &&Row| match id.path {
            Path::Keyed => row.id.rule == id.rule,
            path => {
                floor::is_timed(row.id.rule) == timed
                    && floor::is_promised(row.id.rule) == layer
                    && (!layer || path == Path::Open || same_handle(row))
            }
        };
        self.of_path(id.face, id.path)
            .filter(|row| row.id.who == Who::Floor)
            .filter(fits)
            .max_by_key(|row| same_handle(row))
    }

    pub(crate) fn ours(&self, face: Face, path: Path, rule: &str, how: &str) -> Option<&Row> {
        self.of_path(face, path)
            .find(|row| row.id.who == Who::Mainstay && row.id.rule == rule && row.id.how == how)
    }
}
