use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Notices when files are no longer what they were: rewritten, replaced by another of their name, reached by a link that points
/// elsewhere, gone, or there again.
///
/// It asks the file system and keeps nothing open, so it works where files are replaced by renames and links, as editors and Kubernetes
/// do, and over network file systems. What it asks may block.
///
/// ```
/// use mainstay_config::FileWatch;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("mainstay.yaml");
/// let mut watch = FileWatch::new([&path]);
/// assert!(!watch.look());
/// std::fs::write(&path, "circuit_breakers: {}")?;
/// assert!(!watch.look(), "it may not be written to the end yet");
/// assert!(watch.look(), "now it is");
/// assert!(!watch.look());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileWatch {
    files: Vec<Watched>,
    rests: bool,
}

#[derive(Clone, Debug)]
struct Watched {
    path: PathBuf,
    /// What was reported.
    known: Option<Seen>,
    /// What was there at the last look.
    last: Option<Seen>,
}

/// What tells a file from what it was before. Nothing if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    len: u64,
    modified: Option<SystemTime>,
    /// Device, number, and when its entry changed, where there are such: who writes may keep the time of the writing.
    id: (u64, u64, i64, i64),
}

impl FileWatch {
    /// Watches files, which need not be there. As they are now they are known.
    pub fn new<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Self {
        let watched = |path: P| {
            let seen = Seen::at(path.as_ref());
            Watched { path: path.as_ref().to_owned(), known: seen, last: seen }
        };
        Self { files: paths.into_iter().map(watched).collect(), rests: true }
    }

    /// Whether something is different than it was when this was reported last, and all files have been the same for two looks: what is
    /// being written is not read in the middle.
    pub fn look(&mut self) -> bool {
        self.rests = true;
        for file in &mut self.files {
            let seen = Seen::at(&file.path);
            self.rests &= file.last == seen;
            file.last = seen;
        }
        let mut changed = false;
        if self.rests {
            for file in &mut self.files {
                changed |= file.known != file.last;
                file.known = file.last;
            }
        }
        changed
    }

    /// Whether all files were the same at the last two looks.
    pub fn rests(&self) -> bool {
        self.rests
    }
}

impl Seen {
    fn at(path: &Path) -> Option<Self> {
        // Through links.
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let id = (0, 0, 0, 0);
        Some(Self { len: metadata.len(), modified: metadata.modified().ok(), id })
    }
}
