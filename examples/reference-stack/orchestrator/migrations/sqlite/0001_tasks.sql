CREATE TABLE tasks (
    id BLOB PRIMARY KEY,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    record TEXT NOT NULL,
    events TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX tasks_of_user ON tasks (user_id, created_ms DESC, id DESC);
CREATE INDEX tasks_unfinished ON tasks (owner) WHERE status IN ('queued', 'running');

CREATE TABLE audit_log (
    -- That of the spool's item, so that a repeat changes nothing.
    id BLOB PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    task_id BLOB NOT NULL,
    user_id TEXT NOT NULL,
    what TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_of_task ON audit_log (task_id, at_ms);
