use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statvfs};

use crate::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe, Rule, blocking};

/// The space on the file system that a path is on, as `df` sees it, on a thread of its own: a network file system that
/// hangs keeps that thread and nothing else. Unix only.
///
/// | detail | |
/// | --- | --- |
/// | `total_bytes` | the file system's size |
/// | `free_bytes` | what a program without privileges may still use |
/// | `free_share` | the one by the other: 0 to 1 |
/// | `inodes_free_share` | the same of inodes; missing where there is no limit to them |
///
/// Its rules, for bytes and for inodes: degraded below 10 % until 15 % are free, unhealthy below 2 % until 5 % are free.
///
/// A path that does not exist is [`NotFound`](ErrorClass::NotFound), a file system without blocks, such as `/proc`, a
/// [`BadAnswer`](ErrorClass::BadAnswer).
pub fn disk_space(path: impl Into<PathBuf>) -> Probe {
    let path = path.into();
    let probe = blocking(move || look(&path)).into_probe();
    ["free_share", "inodes_free_share"].into_iter().fold(probe, |probe, share| {
        probe.rule(Rule::below(share, 0.10, 0.15)).rule(Rule::below(share, 0.02, 0.05).unhealthy())
    })
}

fn look(path: &Path) -> CheckOutcome {
    match statvfs(path) {
        Ok(found) => judge(path, &found),
        Err(error) => {
            let error = std::io::Error::from(error);
            let text = format_args!("{}: {error}", path.display());
            CheckOutcome::failed(CheckError::new(ErrorClass::of(&error), text))
        }
    }
}

fn judge(path: &Path, found: &StatVfs) -> CheckOutcome {
    let Some(free_share) = share(found.f_bavail, found.f_blocks) else {
        let text = format_args!("{}: a file system without blocks", path.display());
        return CheckOutcome::failed(CheckError::new(ErrorClass::BadAnswer, text));
    };
    let outcome = CheckOutcome::healthy()
        .detail("total_bytes", found.f_blocks.saturating_mul(found.f_frsize))
        .detail("free_bytes", found.f_bavail.saturating_mul(found.f_frsize))
        .detail("free_share", free_share);
    match share(found.f_favail, found.f_files) {
        Some(inodes) => outcome.detail("inodes_free_share", inodes),
        None => outcome,
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64).min(1.0))
}
