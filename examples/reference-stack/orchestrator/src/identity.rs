//! The name under which an orchestrator has tasks in the database. Two that had the same would run each other's.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use uuid::Uuid;

const FILE: &str = "orchestrator-id";
const LONGEST: usize = 64;

pub(crate) fn is_one(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !id.is_empty() && id.len() <= LONGEST && id.chars().all(fits)
}

/// The one that is kept in this directory; made at the first start.
pub(crate) fn of_directory(dir: &Path) -> io::Result<String> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(kept) if is_one(kept.trim()) => return Ok(kept.trim().to_owned()),
        Ok(_) => {
            let message = format!(
                "{} holds no name: at most {LONGEST} letters, digits, '-', '_' and '.'",
                path.display()
            );
            return Err(io::Error::new(ErrorKind::InvalidData, message));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // It is there as a whole or not at all.
    let (id, begun) = (Uuid::new_v4().to_string(), dir.join("orchestrator-id.new"));
    let mut file = File::create(&begun)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&begun, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(id)
}
