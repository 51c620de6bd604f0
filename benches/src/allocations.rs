//! What the binary `allocations` counts, whose allocator would slow down everything in this one.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use crate::call::Failure;

/// What the counting binary said.
pub struct Allocations {
    /// Allocations in a call, by its key or name.
    pub calls: HashMap<String, f64>,
    /// What is held in memory, and in how many bytes.
    pub memory: Vec<(String, f64)>,
}

/// Builds and runs the binary for one group of calls: see there for the groups.
///
/// # Errors
///
/// It cannot be built or run.
pub fn measure(group: &str) -> Result<Allocations, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bin", "allocations"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.args(["--", group]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the binary `allocations` failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut counted = Allocations { calls: HashMap::new(), memory: Vec::new() };
    for line in text.lines() {
        let mut fields = line.split('\t');
        match (fields.next(), fields.next(), fields.next()) {
            (Some("memory"), Some(what), Some(bytes)) => {
                counted.memory.push((what.to_owned(), bytes.parse()?))
            }
            (Some(call), Some(count), None) => _ = counted.calls.insert(call.to_owned(), count.parse()?),
            _ => {}
        }
    }
    Ok(counted)
}
