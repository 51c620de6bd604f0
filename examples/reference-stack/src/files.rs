//! Files and connections, of which a load needs many at once.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Lets this process have so many open, if it may. Best effort: where it fails, the drill will say that it ran out of files.
pub(crate) fn raise_limit(files: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(files).min(files);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
