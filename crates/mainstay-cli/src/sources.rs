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
        visible(&names.join(" + "))
    }
}

impl Reading {
    /// Reads files as layers.
    pub(crate) fn load<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Result<Loaded, Mistakes> {
        let mut loader = Loader::new();
        for file in files {
            loader = match file {
                _ if is_stdin(file) => loader.text(STDIN, text(STDIN, std::io::stdin().lock())?),
                _ if is_stream(file) => {
                    let name = name(file);
                    let opened = std::fs::File::open(file).map_err(|error| unreadable(&name, &error))?;
                    let text = text(&name, opened)?;
                    loader.text(name, text)
                }
                _ => loader.file(file),
            };
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

/// A text on one line, without what a terminal would obey or what turns its direction.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |char: char| {
        char.is_control()
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let visible =
        |char: char| if hidden(char) { char.escape_default().to_string() } else { char.to_string() };
    text.chars().map(visible).collect()
}

/// Whether it is a pipe or a device, as `<(...)` and `/dev/stdin` are, which a loader does not wait for.
fn is_stream(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// All of what is no regular file.
fn text(name: &str, from: impl Read) -> Result<String, Mistakes> {
    let mut bytes = Vec::new();
    from.take(TOO_MUCH).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        wrong(name, format!("a byte that is not UTF-8, after {}", error.utf8_error().valid_up_to()))
    })
}

fn unreadable(name: &str, error: &std::io::Error) -> Mistakes {
    wrong(name, format!("what cannot be read ({})", error.kind()))
}

fn wrong(name: &str, found: String) -> Mistakes {
    Mistakes::from(Mistake::of_file(name, found, "at most 1048576 bytes of YAML"))
}
