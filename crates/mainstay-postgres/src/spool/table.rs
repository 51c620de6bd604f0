use std::fmt;
use std::sync::Arc;

/// A table for [`TableSink`](crate::spool::TableSink), and its columns. Names are used as they are given, quoted: upper case stays upper
/// case, and nothing in them is SQL.
///
/// | column | type | |
/// | --- | --- | --- |
/// | `id` | `uuid` | the item's id: the primary key, or with a unique index of its own |
/// | `key` | `text` | its order key, NULL if it has none |
/// | `payload` | `jsonb` | the item |
/// | `accepted` | `timestamptz` | when the spool accepted it |
///
/// A table that is there already may have other columns, if they have defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    schema: Option<Ident>,
    name: Ident,
    id: Ident,
    key: Ident,
    payload: Ident,
    accepted: Ident,
}

/// A name that PostgreSQL cannot take as it is: it must have 1 to 63 bytes, none of them NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    name: String,
}

/// A checked name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ident(String);

/// PostgreSQL cuts longer names off, without an error.
const LONGEST: usize = 63;

// === impl Table ===

impl Table {
    /// A table of this name, found by the connection's `search_path`. Not split at dots: see [`schema`](Self::schema).
    ///
    /// # Errors
    ///
    /// A name that is empty, longer than 63 bytes or has a NUL in it; as for all methods here.
    pub fn new(name: impl Into<String>) -> Result<Self, TableError> {
        Ok(Self::named(Ident::new(name)?))
    }

    /// Where ids are noted, unless told otherwise.
    pub(super) fn of_ids() -> Self {
        Self::named(Ident("mainstay_spool_written".to_owned()))
    }

    fn named(name: Ident) -> Self {
        let ident = |name: &str| Ident(name.to_owned());
        Self {
            schema: None,
            name,
            id: ident("id"),
            key: ident("key"),
            payload: ident("payload"),
            accepted: ident("accepted"),
        }
    }

    /// The schema that it is in. Default: the first of the `search_path`. It is not created.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn schema(mut self, name: impl Into<String>) -> Result<Self, TableError> {
        self.schema = Some(Ident::new(name)?);
        Ok(self)
    }

    /// The column of the ids. Default `id`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn id_column(mut self, name: impl Into<String>) -> Result<Self, TableError> {
        self.id = Ident::new(name)?;
        Ok(self)
    }

    /// The column of the order keys. Default `key`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn key_column(mut self, name: impl Into<String>) -> Result<Self, TableError> {
        self.key = Ident::new(name)?;
        Ok(self)
    }

    /// The column of the items. Default `payload`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn payload_column(mut self, name: impl Into<String>) -> Result<Self, TableError> {
        self.payload = Ident::new(name)?;
        Ok(self)
    }

    /// The column of the times of acceptance. Default `accepted`.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn accepted_column(mut self, name: impl Into<String>) -> Result<Self, TableError> {
        self.accepted = Ident::new(name)?;
        Ok(self)
    }

    /// The statement that makes the table if it is not there, for migrations of one's own.
    pub fn create_sql(&self) -> String {
        let Self { id, key, payload, accepted, .. } = self;
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({id} uuid PRIMARY KEY, {key} text, {payload} jsonb NOT NULL, \
             {accepted} timestamptz NOT NULL)",
            self.path()
        )
    }

    /// A batch in one statement. Ids, numbers and JSON travel as text: no types but the server's own have to be known.
    pub(super) fn insert_sql(&self) -> Arc<str> {
        let Self { id, key, payload, accepted, .. } = self;
        format!(
            "INSERT INTO {} ({id}, {key}, {payload}, {accepted}) \
             SELECT i::uuid, k, p::jsonb, 'epoch'::timestamptz + a * interval '1 microsecond' \
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bigint[]) AS batch (i, k, p, a) \
             ON CONFLICT ({id}) DO NOTHING",
            self.path()
        )
        .into()
    }

    /// The table of the ids that are written.
    pub(super) fn create_ids_sql(&self) -> String {
        let id = &self.id;
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({id} uuid PRIMARY KEY, written timestamptz NOT NULL DEFAULT now())",
            self.path()
        )
    }

    /// Notes ids, and returns those that were not there.
    pub(super) fn note_ids_sql(&self) -> Arc<str> {
        let id = &self.id;
        format!(
            "INSERT INTO {} ({id}) SELECT i::uuid FROM UNNEST($1::text[]) AS batch (i) \
             ON CONFLICT ({id}) DO NOTHING RETURNING replace({id}::text, '-', '')",
            self.path()
        )
        .into()
    }

    pub(super) fn count_ids_sql(&self) -> Arc<str> {
        let id = &self.id;
        format!(
            "SELECT count(*) FROM {} WHERE {id} IN (SELECT i::uuid FROM UNNEST($1::text[]) AS batch (i))",
            self.path()
        )
        .into()
    }

    pub(super) fn forget_ids_sql(&self) -> String {
        format!("DELETE FROM {} WHERE written < now() - $1 * interval '1 second'", self.path())
    }

    fn path(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.to_string(),
        }
    }
}

// === impl Ident ===

impl Ident {
    fn new(name: impl Into<String>) -> Result<Self, TableError> {
        let name = name.into();
        if name.is_empty() || name.len() > LONGEST || name.contains('\0') {
            return Err(TableError { name });
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

// === impl TableError ===

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no name for a table, schema or column: 1 to {LONGEST} bytes without NUL",
            self.name
        )
    }
}

impl std::error::Error for TableError {}
