//! Whatever has happened to a spool's files: it opens, invents nothing, loses nothing if nothing happened, works, and has nothing more
//! to say at the next opening.
//!
//! The first byte picks the files to begin with. Each damage is then a byte that says what it is, one that picks the file, and what
//! it needs.
#![no_main]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mainstay_spool::{FsyncPolicy, Item, ItemId, OpenFor, Outcome, Sink, Spool, SpoolSettings};

const PAGE: usize = 4096;
const MOST_DAMAGE: usize = 24;

/// Files by name.
type Files = HashMap<String, Vec<u8>>;

struct Origin {
    files: Files,
    /// What is in the queue and among the dead letters.
    living: usize,
    dead: usize,
}

struct Stock {
    origins: Vec<Origin>,
    known: HashMap<u128, (Option<String>, String)>,
    root: PathBuf,
    runtime: tokio::runtime::Runtime,
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(ItemId, Option<String>, String)>>>);

impl Sink<String> for Seen {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let mut seen = self.0.lock().unwrap();
        seen.extend(
            batch.iter().map(|item| (item.id(), item.key().map(str::to_owned), item.value().clone())),
        );
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

/// Some are dead at once, the rest waits.
struct Picky;

impl Sink<String> for Picky {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let hour = Duration::from_secs(3_600);
        let outcome = |item: &Item<String>| match item.value().starts_with("poison") {
            true => Outcome::poison("no"),
            false => Outcome::retry_after(hour, "later"),
        };
        batch.iter().map(outcome).collect()
    }
}

fn settings() -> SpoolSettings {
    // No syncs: nobody takes the power away.
    let never = FsyncPolicy::Interval(Duration::from_secs(3_600));
    SpoolSettings::new().fsync(never).linger(Duration::ZERO).backoff(OpenFor::fixed(Duration::from_millis(1)))
}

fn read(dir: &Path) -> Files {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.path().is_file() && entry.file_name() != "lock");
    files
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

async fn make(dir: &Path, origins: &mut Vec<Origin>, known: &mut HashMap<u128, (Option<String>, String)>) {
    let spool = Spool::open(dir, settings(), Picky).unwrap();
    for number in 0..50_usize {
        let key = (number % 3 != 0).then(|| format!("key-{}", number % 23));
        let size = [3, 40, 300, 1_500, 3_900, 9_000][number % 6];
        let value =
            format!("{}{number}-{}", if number % 10 == 1 { "poison" } else { "item" }, "x".repeat(size));
        let ticket = match &key {
            Some(key) => spool.push_with(key, value.clone()).await,
            None => spool.push(value.clone()).await,
        };
        known.insert(ticket.unwrap().id().as_u128(), (key, value));
    }
    while spool.stats().dead_letters < 3 {
        tokio::task::yield_now().await;
    }
    // What a crash leaves. The files may change while they are copied, if a dead letter is on its way: the clerk is kept busy with this.
    let _ = spool.dead_letters(None, 1).await;
    let before = spool.stats();
    let live = read(dir);
    let after = spool.stats();
    if before.dead_letters == after.dead_letters {
        origins.push(Origin {
            files: live,
            living: after.backlog as usize,
            dead: after.dead_letters as usize,
        });
    }
    spool.drain(Duration::ZERO).await;
    let (living, dead) = (spool.stats().backlog as usize, spool.stats().dead_letters as usize);
    origins.push(Origin { files: read(dir), living, dead });
}

impl Stock {
    fn get() -> &'static Self {
        static STOCK: OnceLock<Stock> = OnceLock::new();
        STOCK.get_or_init(|| {
            let memory = Path::new("/dev/shm");
            let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (mut origins, mut known) = (Vec::new(), HashMap::new());
            for _ in 0..2 {
                let dir = tempfile::tempdir_in(&root).unwrap();
                runtime.block_on(make(dir.path(), &mut origins, &mut known));
            }
            assert!(
                origins.iter().any(|origin| origin.files.contains_key("items.db-wal")),
                "none is as a crash leaves it"
            );
            Self { origins, known, root, runtime }
        })
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self, below: usize) -> Option<usize> {
        let bytes = [self.byte()?, self.byte()?, self.byte()?];
        Some((u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]) as usize) % below.max(1))
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(taken.to_vec())
    }
}

/// Does one thing to the files. `None` at the end of the input.
fn damage(files: &mut Files, input: &mut Input<'_>, stock: &Stock) -> Option<()> {
    const NAMES: [&str; 12] = [
        "items.db",
        "items.db",
        "items.db",
        "items.db-wal",
        "dead.db",
        "dead.db",
        "dead.db-wal",
        "items.db-journal",
        "items.db-shm",
        "items.db.recovered",
        "dead.db.recovered",
        "items.db.recovered-wal",
    ];
    let (what, name) = (input.byte()?, NAMES[usize::from(input.byte()?) % NAMES.len()].to_owned());
    let other = &stock.origins[what as usize / 16 % stock.origins.len()].files;
    let file = files.entry(name.clone()).or_default();
    let (length, pages) = (file.len(), file.len() / PAGE);
    match what % 16 {
        0..=3 if length > 0 => {
            let at = input.number(length)?;
            file[at] ^= input.byte()?.max(1);
        }
        // Heads of pages are where it hurts.
        4..=5 if length > 0 => {
            let at = input.number(pages + 1)? * PAGE + input.number(120)?;
            let by = input.byte()?;
            if let Some(byte) = file.get_mut(at) {
                *byte = by;
            }
        }
        6 => file.truncate(input.number(length + 1)?),
        7 => file.extend(input.bytes()?),
        8 if pages > 1 => {
            let (from, to) = (input.number(pages)? * PAGE, input.number(pages)? * PAGE);
            let (first, second) = (file[from..from + PAGE].to_vec(), file[to..to + PAGE].to_vec());
            file[from..from + PAGE].copy_from_slice(&second);
            if input.byte()? % 2 == 0 {
                file[to..to + PAGE].copy_from_slice(&first);
            }
        }
        9 if length > 0 => {
            let from = input.number(length)?;
            let to = (from + input.number(2 * PAGE)?).min(length);
            file[from..to].fill(0);
        }
        10 => *file = input.bytes()?,
        // Of another spool, or of this one at another time.
        11 => {
            let (base, _) = name.split_once(".recovered").unwrap_or((&name, ""));
            *file = other.get(base).cloned().unwrap_or_default();
        }
        12 => drop(files.remove(&name)),
        13 => {
            let from = files.remove(&name).unwrap_or_default();
            files.insert(format!("aside/{}.corrupt/{name}", &name[..name.find(".db").unwrap() + 3]), from);
        }
        14 => {
            let copy = file.clone();
            files.insert(format!("{name}.recovered"), copy);
        }
        15 if length > 0 => {
            let at = input.number(length)?;
            for (there, new) in file[at..].iter_mut().zip(input.bytes()?) {
                *there = new;
            }
        }
        _ => {}
    }
    Some(())
}

fn write(dir: &Path, files: &Files) {
    for (name, content) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn check(stock: &Stock, id: ItemId, key: Option<&str>, value: &str) {
    let (known_key, known) =
        stock.known.get(&id.as_u128()).unwrap_or_else(|| panic!("{id} was never pushed"));
    assert!(known == value && known_key.as_deref() == key, "{id} is another item");
}

async fn judge(stock: &Stock, dir: &Path, untouched: Option<&Origin>) {
    let seen = Seen::default();
    let spool = Spool::open(dir, settings(), seen.clone()).expect("it opens");
    let findings = spool.findings().len();
    let ticket = spool.push("new".to_owned()).await.expect("it works");
    let new = ticket.id();
    let letters = spool.dead_letters(None, 10_000).await.expect("the dead can be read");
    for letter in &letters {
        if let Some(value) = &letter.item {
            check(stock, letter.id, letter.key.as_deref(), value);
        }
    }
    let drained = spool.drain(Duration::from_secs(20)).await;
    assert_eq!((drained.left, drained.fault), (0, None));
    let seen = seen.0.lock().unwrap();
    assert_eq!(seen.iter().filter(|(id, ..)| *id == new).count(), 1);
    for (id, key, value) in seen.iter().filter(|(id, ..)| *id != new) {
        check(stock, *id, key.as_deref(), value);
    }
    if let Some(origin) = untouched {
        assert_eq!((findings, seen.len() - 1, letters.len()), (0, origin.living, origin.dead));
    }
    let again = Spool::open(dir, settings(), Seen::default()).expect("it opens again");
    assert!(again.findings().is_empty(), "{:?}", again.findings());
    again.drain(Duration::ZERO).await;
}

fuzz_target!(|bytes: &[u8]| {
    let stock = Stock::get();
    let mut input = Input(bytes);
    let Some(first) = input.byte() else { return };
    let origin = &stock.origins[usize::from(first) % stock.origins.len()];
    let mut files = origin.files.clone();
    for _ in 0..MOST_DAMAGE {
        if damage(&mut files, &mut input, stock).is_none() {
            break;
        }
    }
    files.retain(|name, content| !content.is_empty() || origin.files.contains_key(name));
    let untouched = (files == origin.files).then_some(origin);
    let dir = tempfile::tempdir_in(&stock.root).unwrap();
    write(dir.path(), &files);
    stock.runtime.block_on(judge(stock, dir.path(), untouched));
});
