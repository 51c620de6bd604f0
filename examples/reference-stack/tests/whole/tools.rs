//! What must be installed: the services' binaries, Python's packages, a browser. What is missing is an error that says how to get it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::SystemTime;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// The binary of a service: beside the test's own; built, if it is missing or older than the sources. `STACK_BINARIES` names another place.
pub fn service(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    const SERVICES: [&str; 4] = ["agent-core", "gateway", "llm-service", "orchestrator"];
    if let Some(place) = std::env::var_os("STACK_BINARIES") {
        return place.into();
    }
    let place = profile();
    let newest = newest(&Path::new(HERE).join("../../crates")).max(newest_of_services());
    let is_new =
        |name: &&str| place.join(name).metadata().and_then(|it| it.modified()).is_ok_and(|at| at > newest);
    if SERVICES.iter().all(is_new) {
        return place;
    }
    let mut command = Command::new(env!("CARGO"));
    command.arg("build").current_dir(HERE).arg("--target-dir").arg(place.parent().unwrap());
    for name in SERVICES {
        command.args(["--package", name]);
    }
    if let Some(profile) = place.file_name().and_then(|name| name.to_str()).filter(|name| *name != "debug") {
        command.args(["--profile", profile]);
    }
    // Not with `eprintln!`, which the harness keeps to itself: this may take minutes.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), b"building the services' binaries\n");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    place
}

/// Where cargo has put this test: `target/debug`, say.
fn profile() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// When a source was changed last of which the services are made: each crate has a directory here.
fn newest_of_services() -> SystemTime {
    let here = Path::new(HERE).read_dir().into_iter().flatten().filter_map(Result::ok);
    let crates = here.map(|entry| entry.path()).filter(|place| place.join("Cargo.toml").exists());
    crates.map(|place| newest(&place)).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// When a source was changed last.
fn newest(place: &Path) -> SystemTime {
    let Ok(entries) = place.read_dir() else {
        return place.metadata().and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    };
    let inner = entries.filter_map(Result::ok).filter(|entry| entry.file_name() != "tests");
    inner.map(|entry| newest(&entry.path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Something in the virtual environment of the clients.
pub fn in_venv(name: &str) -> PathBuf {
    let target = profile();
    let mut venvs = target.ancestors().skip(1).take(2).map(|place| place.join("stack-clients"));
    let venv = venvs.find(|venv| venv.exists()).unwrap_or_else(|| "target/stack-clients".into());
    let found = venv.join("bin").join(name);
    assert!(
        found.exists(),
        "{} is missing. Run .ci/test, or: python3 -m venv {} && {}/bin/pip install -r {HERE}/tests/clients/requirements.txt",
        found.display(),
        venv.display(),
        venv.display(),
    );
    found
}

/// Runs a script of `tests/clients` with the clients' Python. It must end well; what it prints is given back.
pub fn python(script: &str, variables: &[(&str, &str)]) -> String {
    let script = Path::new(HERE).join("tests/clients").join(script);
    let mut command = Command::new(in_venv("python"));
    let output = command.arg(&script).envs(variables.iter().copied()).output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{}: {}\n{said}", script.display(), output.status);
    said
}

/// A browser.
pub fn chromium() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path)
        .flat_map(|place| ["chromium", "chromium-browser", "google-chrome"].map(|name| place.join(name)));
    places
        .into_iter()
        .find(|place| place.exists())
        .expect("no chromium; run .ci/test, or: apt-get install chromium")
}

/// All that a program has said.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
