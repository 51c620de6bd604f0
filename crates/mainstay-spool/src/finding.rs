use std::path::PathBuf;

/// Something that was not sound when the spool was opened, and what was done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it was.
    pub kind: FindingKind,
    /// Where it is now: a directory below the spool's, named `aside`.
    pub set_aside: PathBuf,
    /// How many items were recovered from it.
    pub recovered: u64,
}

/// What was not sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// A spool file that is damaged or cut short. What is whole was recovered.
    Corrupt,
    /// Not a file of a spool.
    Foreign,
    /// A file that a newer version of this crate wrote.
    Newer,
}
