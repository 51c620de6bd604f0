use std::io;
use std::path::{Component, Path, PathBuf};

use super::files::{malformed, read};
use super::memory::Usage;

/// Of the interface of the kernel's memory controller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Version {
    One,
    Two,
}

/// The names of its files.
struct Files {
    mount: &'static str,
    usage: &'static str,
    limit: &'static str,
    /// In `memory.stat`.
    inactive: &'static str,
}

const ONE: Files = Files {
    mount: "sys/fs/cgroup/memory",
    usage: "memory.usage_in_bytes",
    limit: "memory.limit_in_bytes",
    inactive: "total_inactive_file",
};

const TWO: Files =
    Files { mount: "sys/fs/cgroup", usage: "memory.current", limit: "memory.max", inactive: "inactive_file" };

/// Of the process's cgroup and those around it, the one that is nearest to its limit; none if none has a limit below `most`.
pub(super) fn nearest_to_its_limit(root: &Path, most: u64) -> io::Result<Option<(Version, Usage)>> {
    let Some(text) = read(&root.join("proc/self/cgroup"))? else { return Ok(None) };
    let Some((version, path)) = find(&text) else { return Ok(None) };
    let mount = root.join(version.files().mount);
    let mut nearest: Option<Usage> = None;
    for place in places(&mount, path) {
        let usage = version.usage(&place)?.filter(|usage| usage.limit <= most);
        if let Some(usage) = usage
            && nearest.is_none_or(|nearest| usage.share() > nearest.share())
        {
            nearest = Some(usage);
        }
    }
    Ok(nearest.map(|usage| (version, usage)))
}

/// Which cgroup the process is in, of the hierarchy that has the memory controller.
fn find(text: &str) -> Option<(Version, &str)> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let one = lines.clone().find(|(_, controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let two = || lines.clone().find(|(id, controllers, _)| *id == "0" && controllers.is_empty());
    match one {
        Some((_, _, path)) => Some((Version::One, path)),
        None => two().map(|(_, _, path)| (Version::Two, path)),
    }
}

/// The directories of a cgroup and of those around it. In a container some of them, or all but the last, may be out of sight.
fn places(mount: &Path, path: &str) -> Vec<PathBuf> {
    let mut place = mount.to_owned();
    let mut places = vec![place.clone()];
    let path = Path::new(path.trim_start_matches('/'));
    // A path that leads out of the namespace leads to nothing that is mounted here.
    if path.components().all(|part| matches!(part, Component::Normal(_))) {
        for part in path.components() {
            place.push(part);
            places.push(place.clone());
        }
    }
    places
}

// === impl Version ===

impl Version {
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::One => "cgroup_v1",
            Version::Two => "cgroup_v2",
        }
    }

    fn files(self) -> &'static Files {
        match self {
            Version::One => &ONE,
            Version::Two => &TWO,
        }
    }

    /// What one cgroup uses, if it has a limit.
    fn usage(self, place: &Path) -> io::Result<Option<Usage>> {
        let files = self.files();
        let Some(limit) = number(&place.join(files.limit))? else { return Ok(None) };
        let Some(used) = number(&place.join(files.usage))? else { return Ok(None) };
        let cache = inactive(&place.join("memory.stat"), files.inactive)?;
        Ok(Some(Usage { used: used.saturating_sub(cache), limit }))
    }
}

/// A number of bytes; none if there is no such file, or it says that there is no limit.
fn number(path: &Path) -> io::Result<Option<u64>> {
    let Some(text) = read(path)? else { return Ok(None) };
    match text.trim() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| malformed(path)),
    }
}

fn inactive(path: &Path, key: &str) -> io::Result<u64> {
    let Some(text) = read(path)? else { return Ok(0) };
    let mut values = text.lines().filter_map(|line| line.split_once(' '));
    match values.find(|(name, _)| *name == key) {
        Some((_, value)) => value.trim().parse().map_err(|_| malformed(path)),
        None => Ok(0),
    }
}
