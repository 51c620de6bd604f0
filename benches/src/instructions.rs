//! Counts the instructions that a subject executes: callgrind runs this very program as `one <key> <calls>`, and what many
//! calls execute less what few do is what a call does.

use std::collections::HashMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{available_parallelism, scope};

/// What one call executes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Executed {
    /// All of them.
    pub instructions: f64,
    /// Those of them with a lock: `lock` prefixes and exchanges with memory. None where objdump is missing.
    pub locked: Option<f64>,
}

/// How often a subject is called in each of two runs.
#[derive(Clone, Copy)]
struct Calls {
    few: u64,
    many: u64,
}

const SHORT: Calls = Calls { few: 2_000, many: 12_000 };
const LONG: Calls = Calls { few: 100, many: 600 };

/// Whether valgrind can be run; says how to get it if not.
///
/// # Errors
///
/// How to install it, if it cannot.
pub fn ready() -> Result<(), String> {
    let found =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Ok(status) if status.success() => Ok(()),
        _ => Err("valgrind is missing: `apt-get install valgrind` (or `dnf install valgrind`), \
                  or go without it by --no-instructions"
            .to_owned()),
    }
}

/// Counts the instructions of a call of each subject: those of many calls less those of few, so that start-up
/// cancels out.
///
/// # Errors
///
/// Those of the file system, and what valgrind complains of.
pub fn measure(keys: &[String]) -> Result<HashMap<String, Executed>, Box<dyn Error>> {
    measure_by(SHORT, keys)
}

/// The same of subjects whose calls take many microseconds, by fewer of them.
///
/// # Errors
///
/// Those of [`measure`].
pub fn measure_long(keys: &[String]) -> Result<HashMap<String, Executed>, Box<dyn Error>> {
    measure_by(LONG, keys)
}

fn measure_by(calls: Calls, keys: &[String]) -> Result<HashMap<String, Executed>, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("mainstay-callgrind-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = measure_in(&folder, calls, keys);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn measure_in(
    folder: &Path,
    calls: Calls,
    keys: &[String],
) -> Result<HashMap<String, Executed>, Box<dyn Error>> {
    let workers = available_parallelism().map_or(1, usize::from).min(8);
    let mut locks = Locks::default();
    let mut executed = HashMap::new();
    for keys in keys.chunks(workers) {
        let runs: Vec<_> = scope(|scope| {
            let threads: Vec<_> = keys
                .iter()
                .enumerate()
                .map(|(n, key)| {
                    let file = folder.join(n.to_string());
                    scope.spawn(move || Ok((run(&file, key, calls.few)?, run(&file, key, calls.many)?)))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err("it panicked".into())))
                .collect()
        });
        for (key, run) in keys.iter().zip(runs) {
            let (few, many) = run.map_err(|error: String| format!("{key}: {error}"))?;
            executed.insert(key.clone(), difference(calls, &few, &many, &mut locks));
        }
    }
    Ok(executed)
}

/// How often each instruction was executed, by the object it is in and its address there.
type Counts = HashMap<(String, u64), u64>;

fn run(file: &Path, key: &str, calls: u64) -> Result<Counts, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--dump-instr=yes", "--dump-line=no"])
        .args(["--compress-pos=no", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(exe)
        .args(["one", key, &calls.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        return Err(format!("valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(parse(&text))
}

/// Reads callgrind's format: `ob=` names the object of the lines that follow, each an address and a count; the line
/// after a `calls=` is what the callee cost, which its own lines say too.
fn parse(text: &str) -> Counts {
    let mut counts = Counts::new();
    let mut object = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("ob=") {
            name.clone_into(&mut object);
        } else if line.starts_with("calls=") {
            lines.next();
        } else if let Some((address, count)) = line.strip_prefix("0x").and_then(|line| line.split_once(' ')) {
            let count = count.trim().parse::<u64>().unwrap_or(0);
            let address = u64::from_str_radix(address, 16).unwrap_or(0);
            *counts.entry((object.clone(), address)).or_default() += count;
        }
    }
    counts
}

fn difference(calls: Calls, few: &Counts, many: &Counts, locks: &mut Locks) -> Executed {
    let calls = calls.many - calls.few;
    let per_call = |count: i64| count as f64 / calls as f64;
    let (mut instructions, mut locked) = (0, Some(0));
    for (place, &count) in many {
        let count = count.cast_signed() - few.get(place).copied().unwrap_or(0).cast_signed();
        instructions += count;
        // What does not happen at least once in a hundred calls is not part of the call.
        if count.unsigned_abs() >= calls / 100 {
            locked = match locks.holds(&place.0, place.1) {
                Some(true) => locked.map(|locked| locked + count),
                Some(false) => locked,
                None => None,
            };
        }
    }
    Executed { instructions: per_call(instructions), locked: locked.map(per_call) }
}

/// The addresses of locked instructions, by object.
#[derive(Default)]
struct Locks(HashMap<PathBuf, Option<Vec<u64>>>);

impl Locks {
    /// Whether the instruction there is locked; None if nobody can say.
    fn holds(&mut self, object: &str, address: u64) -> Option<bool> {
        let locked = self.0.entry(object.into()).or_insert_with_key(|object| disassemble(object));
        locked.as_ref().map(|locked| locked.binary_search(&address).is_ok())
    }
}

fn disassemble(object: &Path) -> Option<Vec<u64>> {
    let output = Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(object).output().ok()?;
    let mut locked: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let (address, instruction) = line.trim_start().split_once(":\t")?;
            let exchanges = instruction.starts_with("xchg") && instruction.contains('(');
            let locks = instruction.starts_with("lock ") || exchanges;
            if locks { u64::from_str_radix(address, 16).ok() } else { None }
        })
        .collect();
    locked.sort_unstable();
    output.status.success().then_some(locked)
}
