use std::io;
use std::path::{Path, PathBuf};

use super::cgroup;
use super::files::{malformed, read};
use crate::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe, Rule, blocking};

/// How much memory is in use, against the limit at which the kernel kills: that of the cgroup, or, where there is none, the
/// machine's. Linux only; elsewhere it is [`NotFound`](ErrorClass::NotFound).
///
/// | detail | |
/// | --- | --- |
/// | `used_bytes` | what cannot be had back at once: without the file cache that nobody has used of late |
/// | `limit_bytes` | what of it there may be |
/// | `used_share` | the one by the other |
/// | `source` | `cgroup_v2`, `cgroup_v1` or `machine` |
///
/// A cgroup's figure is what Kubernetes calls the working set: `memory.current` without the `inactive_file` of `memory.stat`
/// (in version 1 `memory.usage_in_bytes` and `total_inactive_file`). The cgroups around it may have limits too, which it
/// shares with its neighbours: the one that is nearest to its limit counts. A limit beyond the machine's memory is none.
/// The machine's figures are `MemTotal` and `MemAvailable` of `/proc/meminfo`.
///
/// Its rules: degraded above 85 % until 80 % are in use, unhealthy above 95 % until 90 %.
pub fn memory() -> Probe {
    memory_at("/")
}

/// The same with another root, under which `proc` and `sys/fs/cgroup` are: where a host's file systems are mounted in a
/// container, or a test has made some up.
pub fn memory_at(root: impl Into<PathBuf>) -> Probe {
    let root = root.into();
    let probe = blocking(move || match look(&root) {
        Ok(outcome) => outcome,
        Err(error) => CheckOutcome::failed(CheckError::from_error(ErrorClass::of(&error), &error)),
    });
    probe
        .into_probe()
        .rule(Rule::above("used_share", 0.85, 0.80))
        .rule(Rule::above("used_share", 0.95, 0.90).unhealthy())
}

/// How much there is, and how much of it is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) used: u64,
    pub(super) limit: u64,
}

fn look(root: &Path) -> io::Result<CheckOutcome> {
    let machine = machine(root);
    let most = machine.as_ref().map_or(u64::MAX, |machine| machine.limit);
    let (source, usage) = match cgroup::nearest_to_its_limit(root, most)? {
        Some((version, usage)) => (version.name(), usage),
        None => ("machine", machine?),
    };
    Ok(CheckOutcome::healthy()
        .detail("used_bytes", usage.used)
        .detail("limit_bytes", usage.limit)
        .detail("used_share", usage.share())
        .detail("source", source))
}

fn machine(root: &Path) -> io::Result<Usage> {
    let path = root.join("proc/meminfo");
    let text =
        read(&path)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.display().to_string()))?;
    let kib = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let number = value.and_then(|value| value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok());
        number.map(|kib| kib.saturating_mul(1024)).ok_or_else(|| malformed(&path))
    };
    let (limit, available) = (kib("MemTotal")?, kib("MemAvailable")?);
    Ok(Usage { used: limit.saturating_sub(available), limit })
}

// === impl Usage ===

impl Usage {
    pub(super) fn share(self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}
