-- One row, always the same. Where it is already there, all but the last statement write nothing.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS bundle;
CREATE TABLE IF NOT EXISTS bundle.heartbeat (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    beat_at timestamptz NOT NULL
);
INSERT INTO bundle.heartbeat (beat_at) VALUES (clock_timestamp())
ON CONFLICT (only_row) DO UPDATE SET beat_at = excluded.beat_at;
