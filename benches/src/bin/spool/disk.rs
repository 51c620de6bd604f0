//! What the disk, and the process, take.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Failure;

/// The median of 200 times that a write of 4 KiB and its sync take: to the end of a file that grows, and over what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncTime {
    pub(crate) growing: Duration,
    pub(crate) over: Duration,
}

pub(crate) fn sync_time(dir: &Path) -> Result<SyncTime, Failure> {
    let file = tempfile::NamedTempFile::new_in(dir)?;
    let path = file.path();
    let growing = median(&mut File::options().write(true).open(path)?)?;
    let over = median(&mut File::options().write(true).open(path)?)?;
    Ok(SyncTime { growing, over })
}

fn median(file: &mut File) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort();
    times.get(times.len() / 2).copied().ok_or_else(|| "no times".into())
}

/// What this process has taken of the processors, in the kernel and outside, to 10 ms. Zero where nobody knows.
pub(crate) fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have anything in it, `utime` and `stime` are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).flat_map(str::parse::<u64>).sum();
    Duration::from_millis(ticks * 10)
}
