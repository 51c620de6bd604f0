//! The binary with the HTTP and the gRPC server: found beside the test's own, or built.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use crate::TestkitError;
use crate::error::During;
use crate::package::is_program;

/// Its name, also of cargo's target.
const NAME: &str = "mainstay-testkit-server";

/// Where this crate's sources were when it was compiled.
const CRATE: &str = env!("CARGO_MANIFEST_DIR");

/// What makes a binary old when it is younger.
const SOURCES: [&str; 3] = ["src", "proto", "build.rs"];

/// The binary, found or built by the first who asks in this process.
static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Where the binary is. Builds it if it is missing or older than its sources.
pub(crate) fn binary() -> Result<PathBuf, TestkitError> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(binary) = found.as_ref() {
        return Ok(binary.clone());
    }
    let binary = match env::var_os("MAINSTAY_TESTKIT_SERVER") {
        Some(path) => PathBuf::from(path),
        None => Workshop::find()?.binary()?,
    };
    Ok(found.insert(binary).clone())
}

/// Where cargo builds.
struct Workshop {
    target: PathBuf,
    triple: Option<String>,
    profile: PathBuf,
}

// === impl Workshop ===

impl Workshop {
    /// The directory of the profile that the test was built with: `target/debug`, say.
    fn find() -> Result<Self, TestkitError> {
        let test = env::current_exe().during(|| "asking where this program is".into())?;
        // A documentation test runs elsewhere; the build script of this crate did not.
        let script = Path::new(env!("OUT_DIR"));
        let profile = [test.parent(), script.ancestors().nth(2)]
            .into_iter()
            .flatten()
            .filter(|directory| ["deps", "examples", "build"].iter().any(|name| directory.ends_with(name)))
            .find_map(Path::parent);
        profile.and_then(Self::at).ok_or_else(|| TestkitError::Failed {
            what: format!("{NAME} is neither beside {} nor where this crate was built", test.display()),
            output: "Set MAINSTAY_TESTKIT_SERVER to its path.\n".into(),
        })
    }

    fn at(profile: &Path) -> Option<Self> {
        let parent = profile.parent()?;
        // Cargo marks its target directory; with `--target` there is one more level.
        let is_target = |directory: &Path| directory.join("CACHEDIR.TAG").exists();
        let (target, triple) = match parent.parent() {
            Some(above) if !is_target(parent) && is_target(above) => {
                (above, parent.file_name().map(|name| name.to_string_lossy().into_owned()))
            }
            _ => (parent, None),
        };
        Some(Self { target: target.into(), triple, profile: profile.into() })
    }

    fn binary(&self) -> Result<PathBuf, TestkitError> {
        let binary = self.profile.join(NAME);
        let why = match fs::metadata(&binary).and_then(|metadata| metadata.modified()) {
            _ if !is_program(&binary) => "it is not there",
            Ok(built) if newest_source().is_ok_and(|changed| changed > built) => "its sources have changed",
            _ => return Ok(binary),
        };
        // Not with `eprintln!`, which a test's harness keeps to itself: this may take a minute.
        let _ = writeln!(io::stderr(), "testkit: building {}, because {why}", binary.display());
        self.build()?;
        if is_program(&binary) {
            return Ok(binary);
        }
        Err(TestkitError::Failed {
            what: format!("cargo built {NAME}, but not as {}", binary.display()),
            output: "Set MAINSTAY_TESTKIT_SERVER to its path.\n".into(),
        })
    }

    fn build(&self) -> Result<(), TestkitError> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(["build", "--package", "mainstay-testkit", "--bin", NAME, "--all-features"])
            .arg("--manifest-path")
            .arg(Path::new(CRATE).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&self.target);
        if let Some(triple) = &self.triple {
            command.arg("--target").arg(triple);
        }
        match self.profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => {
                command.arg("--profile").arg(profile);
            }
        }
        let output = command
            .current_dir(CRATE)
            .stdin(Stdio::null())
            .output()
            .during(|| format!("starting cargo to build {NAME}"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(TestkitError::Failed {
            what: format!("{NAME} could not be built with {command:?}: {}", output.status),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// When a source was changed last.
fn newest_source() -> io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in SOURCES {
        newest = newest.max(newest_in(&Path::new(CRATE).join(source))?);
    }
    Ok(newest)
}

fn newest_in(path: &Path) -> io::Result<SystemTime> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return metadata.modified();
    }
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(path)? {
        newest = newest.max(newest_in(&entry?.path())?);
    }
    Ok(newest)
}
