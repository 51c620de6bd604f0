use std::io::Read;
use std::path::{Path, PathBuf};

use mainstay_config::{Environment, Loaded, Loader};

use crate::mistake::{Mistake, Mistakes};

/// The name of standard input, as a file.
const STDIN: &str = "<stdin>";
/// One byte more than a file may have.
const TOO_MUCH: u64 = (1 << 20) + 1;

/// The files of one set of settings.
#[derive(clap::Args)]
pub(crate) struct Sources {
    /// Files, each on top of the one before; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// How files are read.
#[derive(clap::Args)]
pub(crate) struct Reading {
    /// Allow a section of the program's own at the top of the files; may be repeated
    #[arg(long = "allow-section", value_name = "NAME")]
    sections: Vec<String>,
    /// Ignore the variables of this process, also in `${VARIABLE}`
    #[arg(long)]
    no_env: bool,
}

impl Sources {
    pub(crate) fn load(&self) -> Result<Loaded, Mistakes> {
        self.reading.load(self.files.iter().map(PathBuf::as_path))
    }

    /// How many of the files are standard input.
    pub(crate) fn stdin(&self) -> usize {
        self.files.iter().filter(|file| is_stdin(file)).count()
    }

    /// The files as they are called, on one line and without what a terminal would obey.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self.files.iter().map(|file| name(file)).collect();
        let visible = |char: char| {
            if char.is_control() { char.escape_default().to_string() } else { char.to_string() }
        };
        names.join(" + ").chars().map(visible).collect()
    }
}

impl Reading {
    /// Reads files as layers.
    pub(crate) fn load<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Result<Loaded, Mistakes> {
        let mut loader = Loader::new();
        for file in files {
            loader = if is_stdin(file) { loader.text(STDIN, stdin()?) } else { loader.file(file) };
        }
        for section in &self.sections {
            loader = loader.allow_section(section);
        }
        if !self.no_env {
            loader = loader.environment(Environment::from_process());
        }
        Ok(loader.load()?)
    }
}

pub(crate) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// A file as it is called.
pub(crate) fn name(file: &Path) -> String {
    if is_stdin(file) { STDIN.to_owned() } else { file.display().to_string() }
}

fn stdin() -> Result<String, Mistakes> {
    let wrong =
        |found: String| Mistakes::from(Mistake::of_file(STDIN, found, "at most 1048576 bytes of YAML"));
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(TOO_MUCH).read_to_end(&mut bytes);
    read.map_err(|error| wrong(format!("what cannot be read ({})", error.kind())))?;
    String::from_utf8(bytes).map_err(|error| {
        wrong(format!("a byte that is not UTF-8, after {}", error.utf8_error().valid_up_to()))
    })
}
