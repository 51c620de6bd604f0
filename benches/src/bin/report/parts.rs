use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mainstay_benches::call::Failure;
use mainstay_benches::machine;

/// One of the binaries, which prints a page.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

/// All of them, in the order in which they are read. Those that need the machine for themselves first.
pub(crate) static PARTS: [Part; 10] = [
    Part {
        name: "breaker",
        what: "the breaker beside its peers: every rule and state, sync and layer, 1, 2 and 8 threads, by key",
    },
    Part { name: "keys", what: "a million keyed breakers: memory, calls a second by 1, 2 and 8 threads" },
    Part { name: "health", what: "readers, probes, ten thousand checks at rest" },
    Part {
        name: "degrade",
        what: "levels, decisions, the traffic's observer; gather beside `join_all` and `JoinSet`",
    },
    Part { name: "clients", what: "what the guards add to Redis, PostgreSQL, gRPC and HTTP" },
    Part { name: "stack", what: "a client's stack of tower layers, without ours and with them" },
    Part {
        name: "gateway-cpu",
        what: "an axum gateway's CPU time for a request, without ours and with all of it",
    },
    Part { name: "settings", what: "settings that are read again and put in force" },
    Part { name: "spool", what: "pushes a second by what they promise, beside SQLite" },
    Part {
        name: "overload",
        what: "three times the capacity, with and without `ShedLayer`; how soon a dead dependency is used again",
    },
];

impl Part {
    /// Its page beside the summary's.
    pub(crate) fn file(&self, summary: &Path) -> PathBuf {
        let stem = summary.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        summary.with_file_name(format!("{stem}-{}.md", self.name))
    }

    /// Runs it: its page. That it misses a budget is no error here; its page says so.
    pub(crate) fn run(&self, quick: bool, load: f64) -> Result<String, Failure> {
        let mut command = Command::new(std::env::current_exe()?.with_file_name(self.name));
        command.env(machine::LOAD, load.to_string());
        if quick {
            command.arg("--quick");
        }
        let output = command.stderr(Stdio::inherit()).output()?;
        let page = String::from_utf8(output.stdout)?;
        match output.status.code() {
            Some(0 | 1) if !page.is_empty() => Ok(page),
            _ => Err(format!("it ended with {} and without a page", output.status).into()),
        }
    }
}

/// Builds all parts, so that nothing is built between two of them.
pub(crate) fn build() -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--bins"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err("the parts cannot be built".into()) }
}
