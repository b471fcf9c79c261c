-- One row, always the same. Where it is already there, only the update writes.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS bundle;
CREATE TABLE IF NOT EXISTS bundle.heartbeat (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    beat_at timestamptz NOT NULL
);
INSERT INTO bundle.heartbeat (beat_at) VALUES (clock_timestamp())
ON CONFLICT (only_row) DO UPDATE SET beat_at = excluded.beat_at;
-- The segment ends here where it is due and nobody has ended it. PostgreSQL 15 heeds archive_timeout only from the first
-- time on that something else wakes its checkpointer: after a start in order that may be checkpoint_timeout later. When a
-- segment ended is when its status was made, which keeps its time as it changes its name.
SELECT pg_switch_wal()
WHERE current_setting('archive_mode') <> 'off'
  AND current_setting('archive_timeout') <> '0'
  AND clock_timestamp() > current_setting('archive_timeout')::interval - interval '5 seconds' + (
      SELECT coalesce(max(modification), pg_postmaster_start_time())
      FROM pg_ls_archive_statusdir() WHERE name ~ '^[0-9A-F]{24}\.'
  )
\g /dev/null
