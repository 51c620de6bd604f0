use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::error::During;
use crate::{TestkitError, place};

/// A port on 127.0.0.1 that is ours until this is dropped, also while nothing listens on it.
///
/// It lies outside the range from which the system takes ports for outgoing connections, and a locked file keeps
/// the testkits of other processes off it.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    path: PathBuf,
    /// The lock ends when this is closed, however the process ends.
    _lock: File,
}

/// Where to look, by preference.
const RANGES: [RangeInclusive<u16>; 3] = [20_000..=31_999, 10_000..=19_999, 61_000..=65_399];

// === impl Port ===

impl Port {
    /// Finds a free port.
    pub(crate) fn reserve() -> Result<Self, TestkitError> {
        let directory = place::shared()?.join("ports");
        fs::create_dir_all(&directory).during(|| format!("making {}", directory.display()))?;
        let range = range();
        let (low, high) = (*range.start(), *range.end());
        let count = u64::from(high - low) + 1;
        let start = RandomState::new().hash_one(std::process::id());
        for step in 0..count {
            let offset = (start.wrapping_add(step)) % count;
            let number = low + u16::try_from(offset).unwrap_or(0);
            let path = directory.join(number.to_string());
            if let Some(lock) = lock(&path)? {
                // Dropped if somebody else uses the port, which gives the lock back.
                let port = Self { number, path, _lock: lock };
                if TcpListener::bind(port.addr()).is_ok() {
                    return Ok(port);
                }
            }
        }
        Err(TestkitError::NoPort { low, high })
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // Still locked, so that the file is ours to remove.
        let _ = fs::remove_file(&self.path);
    }
}

// === locks ===

/// Locks a file, unless somebody else has it.
fn lock(path: &PathBuf) -> Result<Option<File>, TestkitError> {
    let file = File::create(path).during(|| format!("making {}", path.display()))?;
    if file.try_lock().is_err() {
        return Ok(None);
    }
    // Between our opening and our locking its owner may have removed it: then somebody else may lock a new one.
    let is_the_same = match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    };
    Ok(is_the_same.then_some(file))
}

// === ranges ===

/// The range to take ports from.
fn range() -> RangeInclusive<u16> {
    let outgoing = outgoing();
    let [first, ..] = RANGES;
    RANGES
        .into_iter()
        .find(|range| range.end() < outgoing.start() || outgoing.end() < range.start())
        .unwrap_or(first)
}

/// The range that the system takes ports for outgoing connections from.
fn outgoing() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(low), Some(high)) => low..=high,
        _ => 49_152..=65_535,
    }
}
