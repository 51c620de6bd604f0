use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::row::Row;
use crate::{DeathCause, Fault, ItemId};

/// Both files have the same table; the columns of a death are empty in the one of living items. `STRICT`, so that the check of a
/// file covers the types.
const SCHEMA: [&str; 3] = [
    "CREATE TABLE rows (
        place INTEGER PRIMARY KEY,
        origin INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        sum INTEGER NOT NULL,
        version INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        accepted INTEGER NOT NULL,
        cause INTEGER,
        died INTEGER,
        error TEXT,
        moved INTEGER,
        key BLOB,
        body BLOB NOT NULL
    ) STRICT",
    "CREATE INDEX rows_by_key ON rows (key, place) WHERE key IS NOT NULL",
    "CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
];

/// Only the file of dead letters has it.
const BY_ID: &str = "CREATE INDEX rows_by_id ON rows (origin, seq)";

/// Where rows can be: every place that is given out is among these.
pub(super) const PLACES: std::ops::RangeInclusive<i64> = 1..=1 << 62;

const COLUMNS: &str = "place, origin, seq, sum, version, tries, accepted, key, body";

/// Why and when an item died.
#[derive(Clone, Debug)]
pub(crate) struct Grave {
    pub(crate) cause: DeathCause,
    /// Milliseconds since the Unix epoch.
    pub(crate) died: i64,
    pub(crate) error: String,
}

/// What stands for no tries. As every count has the same number of bytes then, counting takes no room where there is none.
const NO_TRIES: i64 = 1 << 24;

fn tries_of(stored: i64) -> u32 {
    u32::try_from(stored.saturating_sub(NO_TRIES).max(0)).unwrap_or(u32::MAX)
}

fn stored_tries(tries: u32) -> i64 {
    NO_TRIES + i64::from(tries).min(1 << 30)
}

fn row_of(columns: &rusqlite::Row<'_>) -> Result<Row, rusqlite::Error> {
    let (origin, seq): (i64, i64) = (columns.get(1)?, columns.get(2)?);
    let sum: i64 = columns.get(3)?;
    let key: Option<Vec<u8>> = columns.get(7)?;
    // A key that is no text is damaged: the sum, which is over the text, will say so.
    let key = key.map(|key| Arc::from(String::from_utf8_lossy(&key)));
    Ok(Row {
        place: columns.get(0)?,
        id: ItemId::new(origin.cast_unsigned(), seq.cast_unsigned()),
        sum: sum as u32,
        version: columns.get::<_, i64>(4)? as u32,
        tries: tries_of(columns.get(5)?),
        accepted: columns.get(6)?,
        key,
        body: columns.get(8)?,
    })
}

fn grave_of(columns: &rusqlite::Row<'_>) -> Result<Option<Grave>, rusqlite::Error> {
    let Some(cause) = columns.get::<_, Option<i64>>(9)? else {
        return Ok(None);
    };
    Ok(Some(Grave {
        cause: DeathCause::from_code(cause),
        died: columns.get::<_, Option<i64>>(10)?.unwrap_or_default(),
        // It is no part of the item: a damaged one is shown as far as it can be read.
        error: columns
            .get_ref(11)?
            .as_bytes_or_null()?
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned(),
    }))
}

/// Whether the first row from a place on can be read, of a database that may be damaged, or there is none.
pub(super) fn is_readable(connection: &Connection, from: i64) -> bool {
    let query =
        format!("SELECT {COLUMNS}, cause, died, error FROM rows WHERE place >= ?1 ORDER BY place LIMIT 1");
    let Ok(mut query) = connection.prepare_cached(&query) else {
        return false;
    };
    let found = query.query_row([from], |columns| Ok((row_of(columns)?, grave_of(columns)?))).optional();
    // A damaged tree leads anywhere.
    found.is_ok_and(|found| found.is_none_or(|(row, _)| row.place >= from))
}

/// How a walk through a damaged database came to its end.
pub(super) enum Walk {
    Ended,
    /// What comes next cannot be read.
    Unreadable,
    Faulted(Fault),
}

/// Visits the rows from a place on in the order of the tree, whatever their places say, until `visit` says that it is enough. Rows that
/// are none are left out.
pub(super) fn walk(
    connection: &Connection,
    from: i64,
    mut visit: impl FnMut(Row, Option<Grave>) -> Result<bool, Fault>,
) -> Walk {
    let query = format!("SELECT {COLUMNS}, cause, died, error FROM rows WHERE place >= ?1 ORDER BY place");
    let Ok(mut query) = connection.prepare_cached(&query) else {
        return Walk::Unreadable;
    };
    let Ok(mut rows) = query.query([from]) else {
        return Walk::Unreadable;
    };
    loop {
        let columns = match rows.next() {
            Ok(Some(columns)) => columns,
            Ok(None) => return Walk::Ended,
            Err(_) => return Walk::Unreadable,
        };
        let (Ok(row), Ok(grave)) = (row_of(columns), grave_of(columns)) else {
            continue;
        };
        match visit(row, grave) {
            Ok(true) => {}
            Ok(false) => return Walk::Ended,
            Err(fault) => return Walk::Faulted(fault),
        }
    }
}

/// Whether the file is one of dead letters.
pub(super) fn has_ids(connection: &Connection) -> bool {
    let query = "SELECT 1 FROM sqlite_schema WHERE name = 'rows_by_id'";
    connection.query_row(query, [], |_| Ok(())).is_ok()
}

impl Store {
    pub(super) fn create_tables(&self) -> Result<(), rusqlite::Error> {
        self.connection.execute_batch(&SCHEMA.join(";"))
    }

    /// Whether the tables are those that [`create_tables`](Self::create_tables) makes, to the letter: damage may hit these, too.
    pub(super) fn has_tables(&self) -> Result<bool, rusqlite::Error> {
        let mut query = self.connection.prepare("SELECT sql FROM sqlite_schema")?;
        let found =
            query.query_map([], |row| row.get::<_, Option<String>>(0))?.collect::<Result<Vec<_>, _>>()?;
        let has = |sql: &&str| found.iter().any(|found| found.as_deref() == Some(*sql));
        let wanted = SCHEMA.iter().filter(|sql| has(sql)).count();
        Ok(wanted == SCHEMA.len() && found.len() == wanted + usize::from(has(&BY_ID)))
    }

    /// Whether each row has a place where it is found, and others have room behind it.
    pub(super) fn has_places(&self) -> Result<bool, rusqlite::Error> {
        self.connection.query_row("SELECT min(place), max(place) FROM rows", [], |row| {
            let ends: [Option<i64>; 2] = [row.get(0)?, row.get(1)?];
            Ok(ends.into_iter().flatten().all(|place| PLACES.contains(&place)))
        })
    }

    /// The place behind the last row.
    pub(super) fn end(&self) -> Result<i64, rusqlite::Error> {
        let mut query = self.connection.prepare_cached("SELECT coalesce(max(place), 0) FROM rows")?;
        query.query_row([], |row| row.get::<_, i64>(0)).map(|last| last.saturating_add(1))
    }

    pub(super) fn row(&self, place: i64) -> Result<Option<Row>, rusqlite::Error> {
        let query = format!("SELECT {COLUMNS} FROM rows WHERE place = ?1");
        self.connection.prepare_cached(&query)?.query_row([place], row_of).optional()
    }

    pub(crate) fn insert(&self, row: &Row, grave: Option<&Grave>) -> Result<(), rusqlite::Error> {
        self.insert_all([(row, grave)])
    }

    pub(crate) fn insert_all<'r>(
        &self,
        rows: impl IntoIterator<Item = (&'r Row, Option<&'r Grave>)>,
    ) -> Result<(), rusqlite::Error> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO rows (place, origin, seq, sum, version, tries, accepted, key, body, cause, died, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?;
        rows.into_iter().try_for_each(|(row, grave)| {
            let columns = params![
                row.place,
                row.id.origin().cast_signed(),
                row.id.seq().cast_signed(),
                i64::from(row.sum),
                i64::from(row.version),
                stored_tries(row.tries),
                row.accepted,
                row.key.as_deref().map(str::as_bytes),
                row.body,
                grave.map(|grave| grave.cause.code()),
                grave.map(|grave| grave.died),
                grave.map(|grave| grave.error.as_str()),
            ];
            insert.execute(columns).map(|_| ())
        })
    }

    pub(crate) fn delete(&self, place: i64) -> Result<bool, rusqlite::Error> {
        Ok(self.delete_all(&[place])? > 0)
    }

    /// Returns how many there were.
    pub(crate) fn delete_all(&self, places: &[i64]) -> Result<usize, rusqlite::Error> {
        let mut delete = self.connection.prepare_cached("DELETE FROM rows WHERE place = ?1")?;
        places.iter().try_fold(0, |gone, place| delete.execute([place]).map(|count| gone + count))
    }

    /// Deletes the row only if it is this item.
    pub(crate) fn delete_item(&self, place: i64, id: ItemId) -> Result<bool, rusqlite::Error> {
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM rows WHERE place = ?1 AND origin = ?2 AND seq = ?3")?;
        Ok(delete.execute([place, id.origin().cast_signed(), id.seq().cast_signed()])? > 0)
    }

    pub(crate) fn set_tries(&self, place: i64, tries: u32) -> Result<(), rusqlite::Error> {
        let mut update = self.connection.prepare_cached("UPDATE rows SET tries = ?2 WHERE place = ?1")?;
        update.execute([place, stored_tries(tries)]).map(|_| ())
    }

    pub(super) fn touch(&self) -> Result<(), rusqlite::Error> {
        // It changes something, whatever is there.
        let mut touch = self.connection.prepare_cached(
            "INSERT INTO marks VALUES ('synced', 0) ON CONFLICT DO UPDATE SET value = (value + 1) & 0xffffffff",
        )?;
        touch.execute([]).map(|_| ())
    }

    pub(crate) fn get(&self, place: i64) -> Result<Option<Row>, Fault> {
        Ok(self.row(place)?)
    }

    /// The rows behind a place, oldest first, until they are so many or have so many bytes; one at least, if there is one.
    pub(crate) fn after(&self, place: i64, rows: usize, bytes: usize) -> Result<Vec<Row>, Fault> {
        let query = format!("SELECT {COLUMNS} FROM rows WHERE place > ?1 ORDER BY place LIMIT ?2");
        let mut query = self.connection.prepare_cached(&query)?;
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut found = query.query(params![place, limit])?;
        let (mut list, mut total) = (Vec::new(), 0_usize);
        while let Some(columns) = found.next()? {
            let row = row_of(columns)?;
            total = total.saturating_add(row.bytes());
            list.push(row);
            if total >= bytes {
                break;
            }
        }
        Ok(list)
    }

    /// The place of the first row of a key in a part of the queue, and of the one behind it.
    pub(crate) fn of_key(&self, key: &str, from: i64, to: i64) -> Result<(Option<i64>, Option<i64>), Fault> {
        let query =
            "SELECT place FROM rows WHERE key = ?1 AND place >= ?2 AND place <= ?3 ORDER BY place LIMIT 2";
        let mut query = self.connection.prepare_cached(query)?;
        let mut places = query.query_map(params![key.as_bytes(), from, to], |row| row.get::<_, i64>(0))?;
        Ok((places.next().transpose()?, places.next().transpose()?))
    }

    /// The last row of a key.
    pub(crate) fn newest_of(&self, key: &str) -> Result<Option<Row>, Fault> {
        let query = format!("SELECT {COLUMNS} FROM rows WHERE key = ?1 ORDER BY place DESC LIMIT 1");
        let row = self.connection.prepare_cached(&query)?.query_row([key.as_bytes()], row_of).optional()?;
        Ok(row)
    }

    /// Notes where a dead letter is on its way to.
    pub(crate) fn set_moved(&self, place: i64, to: Option<i64>) -> Result<(), rusqlite::Error> {
        let mut update = self.connection.prepare_cached("UPDATE rows SET moved = ?2 WHERE place = ?1")?;
        update.execute(params![place, to]).map(|_| ())
    }

    /// Where each was that was on its way, where to, and who it is.
    pub(crate) fn moved(&self) -> Result<Vec<(i64, i64, ItemId)>, Fault> {
        let query = "SELECT place, moved, origin, seq FROM rows WHERE moved IS NOT NULL";
        let mut query = self.connection.prepare_cached(query)?;
        let moved = query.query_map([], |columns| {
            let (origin, seq): (i64, i64) = (columns.get(2)?, columns.get(3)?);
            let id = ItemId::new(origin.cast_unsigned(), seq.cast_unsigned());
            Ok((columns.get(0)?, columns.get(1)?, id))
        })?;
        Ok(moved.collect::<Result<_, _>>()?)
    }

    /// The dead letters behind a place, oldest first, until they are so many or have so many bytes.
    pub(crate) fn graves(&self, after: i64, rows: usize, bytes: usize) -> Result<Vec<(Row, Grave)>, Fault> {
        let query = format!(
            "SELECT {COLUMNS}, cause, died, error FROM rows WHERE place > ?1 ORDER BY place LIMIT ?2"
        );
        let mut query = self.connection.prepare_cached(&query)?;
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let mut found = query.query(params![after, limit])?;
        let (mut list, mut total) = (Vec::new(), 0_usize);
        while total < bytes
            && let Some(columns) = found.next()?
        {
            let lost = || Grave { cause: DeathCause::Corrupt, died: 0, error: String::new() };
            let (row, grave) = (row_of(columns)?, grave_of(columns)?.unwrap_or_else(lost));
            total = total.saturating_add(row.bytes());
            list.push((row, grave));
        }
        Ok(list)
    }

    /// The places behind one, and who is there.
    pub(crate) fn ids(&self, after: i64, rows: i64) -> Result<Vec<(i64, ItemId)>, Fault> {
        let query = "SELECT place, origin, seq FROM rows WHERE place > ?1 ORDER BY place LIMIT ?2";
        let mut query = self.connection.prepare_cached(query)?;
        let ids = query.query_map([after, rows], |columns| {
            let (origin, seq): (i64, i64) = (columns.get(1)?, columns.get(2)?);
            Ok((columns.get(0)?, ItemId::new(origin.cast_unsigned(), seq.cast_unsigned())))
        })?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Makes [`find`](Self::find) fast.
    pub(crate) fn index_ids(&self) -> Result<(), Fault> {
        let has: bool = self.connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'rows_by_id'",
            [],
            |row| row.get(0),
        )?;
        if !has {
            self.connection.execute_batch(BY_ID)?;
        }
        Ok(())
    }

    /// The place of an item.
    pub(crate) fn find(&self, id: ItemId) -> Result<Option<i64>, Fault> {
        let mut query =
            self.connection.prepare_cached("SELECT place FROM rows WHERE origin = ?1 AND seq = ?2")?;
        let ids = [id.origin().cast_signed(), id.seq().cast_signed()];
        Ok(query.query_row(ids, |row| row.get(0)).optional()?)
    }

    /// How many rows there are, and the place of the last one.
    pub(crate) fn extent(&self) -> Result<(u64, i64), Fault> {
        let mut query = self.connection.prepare_cached("SELECT count(*), max(place) FROM rows")?;
        Ok(query.query_row([], |row| {
            let (count, last): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok((count.max(0) as u64, last.unwrap_or_default()))
        })?)
    }
}
