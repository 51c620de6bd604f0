//! SQLite itself.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::Failure;
use crate::case::{Synchronous, item};
use crate::figures::{Figures, Pushes, Stopwatch};

pub(crate) fn open(dir: &Path, synchronous: Synchronous) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(dir.join("plain.db"))?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous.as_str())?;
    connection.execute_batch("CREATE TABLE items (id INTEGER PRIMARY KEY, key BLOB, body BLOB NOT NULL)")?;
    Ok(connection)
}

pub(crate) fn insert(connection: &Connection, item: &str) -> Result<(), rusqlite::Error> {
    let mut insert = connection.prepare_cached("INSERT INTO items (key, body) VALUES (NULL, ?1)")?;
    insert.execute([item.as_bytes()]).map(|_| ())
}

/// The oldest items.
pub(crate) fn first(connection: &Connection, most: u32) -> Result<Vec<(i64, Vec<u8>)>, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT id, body FROM items ORDER BY id LIMIT ?1")?;
    select.query_map([most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

pub(crate) fn delete(connection: &mut Connection, items: &[(i64, Vec<u8>)]) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    {
        let mut delete = transaction.prepare_cached("DELETE FROM items WHERE id = ?1")?;
        for (id, _) in items {
            delete.execute([id])?;
        }
    }
    transaction.commit()
}

/// One thread, so many rows in a transaction. Its pushes are its transactions.
pub(crate) fn run(
    dir: &Path,
    synchronous: Synchronous,
    rows: u32,
    length: Duration,
) -> Result<Figures, Failure> {
    let mut connection = open(dir, synchronous)?;
    let (item, mut nanos) = (item(), Vec::new());
    let watch = Stopwatch::start();
    while watch.elapsed() < length {
        let begin = Instant::now();
        let transaction = connection.transaction()?;
        for _ in 0..rows {
            insert(&transaction, &item)?;
        }
        transaction.commit()?;
        nanos.push(begin.elapsed().as_nanos() as u64);
    }
    let items = nanos.len() as u64 * u64::from(rows);
    Ok(watch.figures(Pushes { items, took: watch.elapsed(), nanos }, 0))
}
