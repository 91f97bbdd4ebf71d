-- The first schema. Instants are Unix seconds (REAL), durations whole seconds (INTEGER), booleans 0 or 1.
-- Facts (taps, punches) never change; how far a delivery has come is kept apart from them (deliveries, attempts).
-- No AUTOINCREMENT: it would write its own table at every insert, and no id here must stay unused after a deletion.

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
    user_id     TEXT REFERENCES employees (user_id) CHECK (state <> 'assigned' OR user_id IS NOT NULL),
    since       REAL NOT NULL,           -- since when it is in this state
    released_at REAL                     -- its last release: earlier taps belong to whoever had it then
) STRICT, WITHOUT ROWID;
CREATE INDEX badges_by_owner ON badges (user_id) WHERE state = 'assigned';

CREATE TABLE taps (
    id           INTEGER PRIMARY KEY,    -- the order in which they were stored
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

CREATE TRIGGER taps_are_facts BEFORE UPDATE ON taps
WHEN new.id IS NOT old.id OR new.reader IS NOT old.reader OR new.badge IS NOT old.badge OR new.raw_at IS NOT old.raw_at
  OR new.boottime_s IS NOT old.boottime_s OR new.boot_id IS NOT old.boot_id OR new.synchronised IS NOT old.synchronised
  OR new.stated_at IS NOT old.stated_at OR new.result IS NOT old.result OR new.reason IS NOT old.reason
  OR (old.punch_id IS NOT NULL AND new.punch_id IS NOT old.punch_id)
BEGIN
    SELECT RAISE(ABORT, 'a tap is a fact and cannot be changed');
END;

CREATE TRIGGER taps_unclaimed_are_kept BEFORE DELETE ON taps
WHEN old.result = 'unknown_badge' AND old.punch_id IS NULL
BEGIN
    SELECT RAISE(ABORT, 'a tap that may still become a punch cannot be deleted');
END;

-- tap_id has no foreign key: enforcing it would search all punches whenever an old tap is pruned.
CREATE TABLE punches (
    seq          INTEGER PRIMARY KEY,
    id           TEXT NOT NULL UNIQUE,
    tap_id       INTEGER,                -- null for a decision
    user_id      TEXT NOT NULL REFERENCES employees (user_id),
    direction    TEXT CHECK (direction IN ('clock_in', 'clock_out')),
    occurred_at  REAL NOT NULL,          -- best known time
    raw_at       REAL NOT NULL,          -- what the wall clock said
    time_error_s REAL,
    time_known   INTEGER NOT NULL CHECK (time_known IN (0, 1)),
    order_at     REAL NOT NULL,          -- place in the lane: occurred_at, moved where that would undo the order of the taps
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
CREATE INDEX punches_unsettled ON punches (user_id, order_at, seq) WHERE time_known = 0 OR direction IS NULL;

-- A punch is a fact. Only what was not known yet may be filled in, once: its time, and the direction that hung on it.
CREATE TRIGGER punches_are_facts BEFORE UPDATE ON punches
WHEN new.seq IS NOT old.seq OR new.id IS NOT old.id OR new.tap_id IS NOT old.tap_id OR new.user_id IS NOT old.user_id
  OR new.raw_at IS NOT old.raw_at OR new.boot_id IS NOT old.boot_id OR new.boottime_s IS NOT old.boottime_s
  OR new.synchronised IS NOT old.synchronised OR new.reader IS NOT old.reader OR new.badge IS NOT old.badge
  OR new.source IS NOT old.source OR new.job_id IS NOT old.job_id
  OR (old.time_known = 1 AND (new.occurred_at IS NOT old.occurred_at OR new.order_at IS NOT old.order_at
                              OR new.time_error_s IS NOT old.time_error_s OR new.time_known = 0))
  OR (old.direction IS NOT NULL AND new.direction IS NOT old.direction)
BEGIN
    SELECT RAISE(ABORT, 'a punch is a fact and cannot be changed');
END;

-- user_id and order_at repeat the punch's, so that the index of what is unfinished finds the head of a lane without
-- reading what lies behind it.
CREATE TABLE deliveries (
    punch_seq   INTEGER PRIMARY KEY REFERENCES punches (seq),
    user_id     TEXT NOT NULL,
    order_at    REAL NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('pending', 'held', 'in_flight', 'delivered', 'review', 'discarded')),
    reason      TEXT,
    detail      TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    attempt_id  INTEGER,                 -- the last attempt
    remote_id   TEXT,
    recorded_as TEXT CHECK (recorded_as IN ('clock_in', 'clock_out', 'time_activity', 'shift_update')),
    changed_at  REAL NOT NULL,
    CHECK (state <> 'delivered' OR recorded_as IS NOT NULL)
) STRICT;
CREATE INDEX deliveries_unfinished ON deliveries (user_id, order_at, punch_seq, state)
WHERE state NOT IN ('delivered', 'discarded');

CREATE TRIGGER deliveries_follow_their_punch AFTER UPDATE OF order_at ON punches
BEGIN
    UPDATE deliveries SET order_at = new.order_at WHERE punch_seq = new.seq;
END;

CREATE TRIGGER deliveries_stay_delivered BEFORE UPDATE ON deliveries
WHEN new.punch_seq IS NOT old.punch_seq OR new.user_id IS NOT old.user_id
  OR (old.state IN ('delivered', 'discarded') AND new.state IS NOT old.state)
  OR (old.state = 'delivered' AND old.remote_id IS NOT NULL AND new.remote_id IS NULL)
BEGIN
    SELECT RAISE(ABORT, 'what is delivered or discarded stays so');
END;

-- A delivery is deleted only to prune its punch, and REFERENCES keeps a punch while its delivery is there.
CREATE TRIGGER undelivered_is_kept BEFORE DELETE ON deliveries
WHEN old.state <> 'delivered'
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

CREATE TRIGGER journal_is_written_once BEFORE UPDATE ON journal
BEGIN
    SELECT RAISE(ABORT, 'a line of the journal cannot be changed');
END;
