-- The first schema. Instants are Unix seconds (REAL), durations whole seconds (INTEGER), booleans 0 or 1.
-- Facts (taps, punches) never change; how far a delivery has come is kept apart from them (deliveries, attempts).

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE boots (
    boot_id          TEXT PRIMARY KEY,
    first_seen_at    REAL NOT NULL,      -- wall clock, may be wrong
    first_boottime_s REAL NOT NULL,
    trusted_offset_s REAL,               -- true time minus CLOCK_BOOTTIME; null while the boot is not trusted
    trusted_error_s  REAL,
    trusted_source   TEXT CHECK (trusted_source IN ('kernel', 'server')),
    trusted_at       REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE employees (
    user_id     TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    job_id      TEXT,
    max_shift_s INTEGER,
    removed_at  REAL
) STRICT, WITHOUT ROWID;

CREATE TABLE badges (
    badge       TEXT PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('assigned', 'blocked', 'released')),
    user_id     TEXT REFERENCES employees (user_id),
    since       REAL NOT NULL,           -- since when it is in this state
    released_at REAL                     -- its last release: earlier taps belong to whoever had it then
) STRICT, WITHOUT ROWID;
CREATE INDEX badges_by_owner ON badges (user_id) WHERE state = 'assigned';

CREATE TABLE taps (
    id           INTEGER PRIMARY KEY,
    reader       TEXT NOT NULL,
    badge        TEXT NOT NULL,
    raw_at       REAL NOT NULL,
    boottime_s   REAL NOT NULL,
    boot_id      TEXT NOT NULL,
    synchronised INTEGER NOT NULL CHECK (synchronised IN (0, 1)),
    stated_at    REAL,
    result       TEXT NOT NULL CHECK (result IN ('accepted', 'repeat', 'unknown_badge', 'refused')),
    reason       TEXT,
    punch_id     TEXT                    -- the punch it became, at once or when its badge was assigned
) STRICT;
CREATE INDEX taps_unclaimed ON taps (badge, id) WHERE result = 'unknown_badge' AND punch_id IS NULL;

CREATE TABLE punches (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    tap_id       INTEGER REFERENCES taps (id),
    user_id      TEXT NOT NULL REFERENCES employees (user_id),
    direction    TEXT CHECK (direction IN ('clock_in', 'clock_out')),
    occurred_at  REAL NOT NULL,          -- best known time
    raw_at       REAL NOT NULL,          -- what the wall clock said
    time_error_s REAL,
    time_known   INTEGER NOT NULL CHECK (time_known IN (0, 1)),
    order_at     REAL NOT NULL,          -- place in the lane: occurred_at, never before the person's earlier punches
    boot_id      TEXT NOT NULL,
    boottime_s   REAL NOT NULL,          -- of the moment the punch stands for, also when that was stated
    synchronised INTEGER NOT NULL CHECK (synchronised IN (0, 1)),
    reader       TEXT,
    badge        TEXT,
    source       TEXT NOT NULL CHECK (source IN ('tap', 'decision')),
    job_id       TEXT
) STRICT;
CREATE INDEX punches_by_lane ON punches (user_id, order_at, seq);
CREATE INDEX punches_by_time ON punches (occurred_at, seq);
CREATE INDEX punches_untimed ON punches (boot_id) WHERE time_known = 0 OR direction IS NULL;

-- A punch is a fact. Only what was not known yet may be filled in, once: its time, and the direction that hung on it.
CREATE TRIGGER punches_are_facts BEFORE UPDATE ON punches
WHEN new.seq IS NOT old.seq OR new.id IS NOT old.id OR new.tap_id IS NOT old.tap_id OR new.user_id IS NOT old.user_id
  OR new.raw_at IS NOT old.raw_at OR new.boot_id IS NOT old.boot_id OR new.boottime_s IS NOT old.boottime_s
  OR new.synchronised IS NOT old.synchronised OR new.reader IS NOT old.reader OR new.badge IS NOT old.badge
  OR new.source IS NOT old.source
  OR (old.time_known = 1 AND (new.occurred_at IS NOT old.occurred_at OR new.time_known = 0))
  OR (old.direction IS NOT NULL AND new.direction IS NOT old.direction)
BEGIN
    SELECT RAISE(ABORT, 'a punch is a fact and cannot be changed');
END;

CREATE TABLE deliveries (
    punch_seq   INTEGER PRIMARY KEY REFERENCES punches (seq),
    state       TEXT NOT NULL CHECK (state IN ('pending', 'held', 'in_flight', 'delivered', 'review', 'discarded')),
    reason      TEXT,
    detail      TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    remote_id   TEXT,
    recorded_as TEXT CHECK (recorded_as IN ('clock_in', 'clock_out', 'time_activity', 'shift_update')),
    changed_at  REAL NOT NULL
) STRICT;
CREATE INDEX deliveries_unfinished ON deliveries (state, punch_seq) WHERE state NOT IN ('delivered', 'discarded');

CREATE TRIGGER punches_are_kept BEFORE DELETE ON punches
WHEN EXISTS (SELECT 1 FROM deliveries WHERE punch_seq = old.seq AND state NOT IN ('delivered', 'discarded'))
BEGIN
    SELECT RAISE(ABORT, 'an undelivered punch cannot be deleted');
END;

-- One row a request that may write, made before it leaves. One that covers a pair names both punches.
CREATE TABLE attempts (
    id         INTEGER PRIMARY KEY,
    punch_seq  INTEGER NOT NULL REFERENCES punches (seq),
    pair_seq   INTEGER REFERENCES punches (seq),
    kind       TEXT NOT NULL CHECK (kind IN ('open_shift', 'end_shift', 'record_shift', 'close_shift')),
    step       TEXT NOT NULL,            -- the step, as JSON
    sent_at    REAL NOT NULL,            -- best known time
    ended_at   REAL,                     -- null: the answer is not known (a request is out, or was when the power went)
    outcome    TEXT,
    status     INTEGER,
    request_id TEXT,
    detail     TEXT
) STRICT;
CREATE INDEX attempts_by_punch ON attempts (punch_seq, id);
CREATE INDEX attempts_by_pair ON attempts (pair_seq, id) WHERE pair_seq IS NOT NULL;

-- Who did what: decisions on punches (punch_id set) and acting requests. Never updated.
CREATE TABLE journal (
    id       INTEGER PRIMARY KEY,
    at       REAL NOT NULL,
    by       TEXT NOT NULL,              -- 'automatic', or 'uid:1000'
    action   TEXT NOT NULL,
    punch_id TEXT,
    data     TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX journal_by_punch ON journal (punch_id, id) WHERE punch_id IS NOT NULL;
