//! What a page of figures says about where they come from.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;
use std::time::SystemTime;

/// The machine, the tools and the day, as markdown lines; `load` is what it had to do before the run.
pub fn describe(load: f64) -> String {
    let cores = available_parallelism().map_or(1, usize::from);
    format!(
        "- machine: {}, {cores} cores, {}\n- compiler: {}\n- date: {}, load before the run {}\n",
        cpu(),
        kernel(),
        output("rustc", &["--version"]),
        humantime::format_rfc3339_seconds(SystemTime::now())
            .to_string()
            .split('T')
            .next()
            .unwrap_or_default(),
        load,
    ) + if load >= 1.0 { BUSY } else { "" }
}

const BUSY: &str =
    "- **the machine was busy**: two threads had no two cores to themselves, so their scaling says nothing\n";

/// The version of a dependency, from the lock file of the workspace.
pub fn version(package: &str) -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let name = format!("name = \"{package}\"");
    read_to_string(lock)
        .ok()
        .and_then(|text| {
            let mut lines = text.lines().skip_while(|line| *line != name);
            let version = lines.nth(1)?.strip_prefix("version = ")?;
            Some(version.trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "(unknown version)".to_owned())
}

fn cpu() -> String {
    let model = read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn kernel() -> String {
    let release = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim())
}

/// By this name `report` tells its parts the load before all of them: what a part finds is that of the part before it.
pub const LOAD: &str = "MAINSTAY_BENCHES_LOAD";

/// The load of the last minute, before anything was measured; 0 where nobody knows.
pub fn load() -> f64 {
    if let Some(load) = std::env::var(LOAD).ok().and_then(|load| load.parse().ok()) {
        return load;
    }
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
