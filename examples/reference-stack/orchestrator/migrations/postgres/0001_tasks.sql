CREATE TABLE tasks (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    status text NOT NULL,
    owner text NOT NULL,
    version bigint NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    -- Not jsonb, which has no room for U+0000.
    record json NOT NULL,
    events json NOT NULL
);

CREATE INDEX tasks_of_user ON tasks (user_id, created_ms DESC, id DESC);
CREATE INDEX tasks_unfinished ON tasks (owner) WHERE status IN ('queued', 'running');

CREATE TABLE audit_log (
    -- That of the spool's item, so that a repeat changes nothing.
    id uuid PRIMARY KEY,
    at_ms bigint NOT NULL,
    task_id uuid NOT NULL,
    user_id text NOT NULL,
    what text NOT NULL
);

CREATE INDEX audit_of_task ON audit_log (task_id, at_ms);
