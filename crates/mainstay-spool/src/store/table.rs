use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use crate::row::Row;
use crate::{DeathCause, Fault, ItemId};

/// Both files have the same table; the columns of a death are empty in the one of living items.
pub(super) const SCHEMA: &str = "
    CREATE TABLE rows (
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
        key BLOB,
        body BLOB NOT NULL
    );
    CREATE INDEX rows_by_key ON rows (key, place) WHERE key IS NOT NULL;
    CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO marks VALUES ('synced', 0);
";

const COLUMNS: &str = "place, origin, seq, sum, version, tries, accepted, key, body";

/// Why and when an item died.
#[derive(Clone, Debug)]
pub(crate) struct Grave {
    pub(crate) cause: DeathCause,
    /// Milliseconds since the Unix epoch.
    pub(crate) died: i64,
    pub(crate) error: String,
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
        tries: columns.get::<_, i64>(5)? as u32,
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
        error: columns.get::<_, Option<String>>(11)?.unwrap_or_default(),
    }))
}

/// The first row behind a place, of a database that may be damaged.
pub(super) fn first_behind(
    connection: &Connection,
    place: i64,
) -> Result<Option<(Row, Option<Grave>)>, rusqlite::Error> {
    let query =
        format!("SELECT {COLUMNS}, cause, died, error FROM rows WHERE place > ?1 ORDER BY place LIMIT 1");
    let mut query = connection.prepare_cached(&query)?;
    let found = query.query_row([place], |columns| Ok((row_of(columns)?, grave_of(columns)?))).optional()?;
    match found {
        // A damaged tree leads anywhere.
        Some((row, _)) if row.place <= place => Err(rusqlite::Error::InvalidQuery),
        found => Ok(found),
    }
}

impl Store {
    pub(crate) fn insert(&self, row: &Row, grave: Option<&Grave>) -> Result<(), rusqlite::Error> {
        insert(&self.connection, row, grave)
    }

    pub(crate) fn delete(&self, place: i64) -> Result<bool, rusqlite::Error> {
        let mut delete = self.connection.prepare_cached("DELETE FROM rows WHERE place = ?1")?;
        Ok(delete.execute([place])? > 0)
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
        update.execute([place, i64::from(tries)]).map(|_| ())
    }

    pub(super) fn touch(&self) -> Result<(), rusqlite::Error> {
        let mut touch =
            self.connection.prepare_cached("UPDATE marks SET value = value + 1 WHERE name = 'synced'")?;
        touch.execute([]).map(|_| ())
    }

    pub(crate) fn get(&self, place: i64) -> Result<Option<Row>, Fault> {
        let query = format!("SELECT {COLUMNS} FROM rows WHERE place = ?1");
        Ok(self.connection.prepare_cached(&query)?.query_row([place], row_of).optional()?)
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

    /// The first row of a key in a part of the queue, and the place of the one behind it.
    pub(crate) fn of_key(&self, key: &str, from: i64, to: i64) -> Result<(Option<Row>, Option<i64>), Fault> {
        let query =
            "SELECT place FROM rows WHERE key = ?1 AND place >= ?2 AND place <= ?3 ORDER BY place LIMIT 2";
        let mut query = self.connection.prepare_cached(query)?;
        let places = query.query_map(params![key.as_bytes(), from, to], |row| row.get::<_, i64>(0))?;
        let mut places = places.collect::<Result<Vec<i64>, _>>()?.into_iter();
        let first = match places.next() {
            Some(place) => self.get(place)?,
            None => None,
        };
        // An index that was damaged meanwhile leads anywhere.
        if first.as_ref().is_some_and(|row| row.key.as_deref() != Some(key)) {
            return Err(Fault::Corrupt);
        }
        Ok((first, places.next()))
    }

    pub(crate) fn graves(&self, after: i64, rows: usize) -> Result<Vec<(Row, Grave)>, Fault> {
        let query = format!(
            "SELECT {COLUMNS}, cause, died, error FROM rows WHERE place > ?1 ORDER BY place LIMIT ?2"
        );
        let mut query = self.connection.prepare_cached(&query)?;
        let limit = i64::try_from(rows).unwrap_or(i64::MAX);
        let graves = query.query_map([after, limit], |columns| {
            let lost = || Grave { cause: DeathCause::Corrupt, died: 0, error: String::new() };
            Ok((row_of(columns)?, grave_of(columns)?.unwrap_or_else(lost)))
        })?;
        Ok(graves.collect::<Result<_, _>>()?)
    }

    /// Makes [`find`](Self::find) fast.
    pub(crate) fn index_ids(&self) -> Result<(), Fault> {
        Ok(self.connection.execute_batch("CREATE INDEX IF NOT EXISTS rows_by_id ON rows (origin, seq)")?)
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

pub(super) fn insert(
    connection: &Connection,
    row: &Row,
    grave: Option<&Grave>,
) -> Result<(), rusqlite::Error> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO rows (place, origin, seq, sum, version, tries, accepted, key, body, cause, died, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    insert
        .execute(params![
            row.place,
            row.id.origin().cast_signed(),
            row.id.seq().cast_signed(),
            i64::from(row.sum),
            i64::from(row.version),
            i64::from(row.tries),
            row.accepted,
            row.key.as_deref().map(str::as_bytes),
            row.body,
            grave.map(|grave| grave.cause.code()),
            grave.map(|grave| grave.died),
            grave.map(|grave| grave.error.as_str()),
        ])
        .map(|_| ())
}
