use std::collections::HashMap;
use std::error::Error;
use std::process::{Command, Stdio};

/// What the counting binary said.
pub(crate) struct Allocations {
    /// Allocations in a call, by key.
    pub(crate) calls: HashMap<String, f64>,
    /// What is held in memory, and in how many bytes.
    pub(crate) memory: Vec<(String, f64)>,
}

/// Builds and runs the `allocations` binary, whose allocator counts.
pub(crate) fn measure() -> Result<Allocations, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bin", "allocations"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the binary `allocations` failed: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut counted = Allocations { calls: HashMap::new(), memory: Vec::new() };
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (Some(first), Some(second), third) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        match (first, third) {
            ("memory", Some(bytes)) => counted.memory.push((second.to_owned(), bytes.parse()?)),
            (key, _) => _ = counted.calls.insert(key.to_owned(), second.parse()?),
        }
    }
    Ok(counted)
}
