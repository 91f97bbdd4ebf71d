-- Two exceptions to what is kept for ever: taps too old to become a punch may go, and a person's badges may be erased.
-- Each needs a permit, and no permit outlives its transaction: nothing can ever satisfy `ends`, a reference that is
-- checked at the commit, so a transaction that leaves one behind cannot be committed.

CREATE TABLE never (
    id INTEGER PRIMARY KEY,
    CHECK (FALSE)
) STRICT;

CREATE TABLE permits (
    what    TEXT PRIMARY KEY CHECK (what IN ('drop_unclaimed', 'erase')),
    tap_max INTEGER CHECK (what <> 'drop_unclaimed' OR tap_max IS NOT NULL),  -- unclaimed taps up to this one may go
    user_id TEXT CHECK (what <> 'erase' OR user_id IS NOT NULL),              -- whose badges may be erased
    ends    INTEGER NOT NULL DEFAULT 1 REFERENCES never (id) DEFERRABLE INITIALLY DEFERRED
) STRICT, WITHOUT ROWID;

DROP TRIGGER taps_unclaimed_are_kept;
CREATE TRIGGER taps_unclaimed_are_kept BEFORE DELETE ON taps
WHEN old.result = 'unknown_badge' AND old.punch_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM permits WHERE what = 'drop_unclaimed' AND old.id <= tap_max)
BEGIN
    SELECT RAISE(ABORT, 'a tap that may still become a punch cannot be deleted');
END;

-- Erased is an empty badge here (the column is NOT NULL), and only on taps that became this person's punches.
DROP TRIGGER taps_are_facts;
CREATE TRIGGER taps_are_facts BEFORE UPDATE ON taps
WHEN new.id IS NOT old.id OR new.reader IS NOT old.reader OR new.raw_at IS NOT old.raw_at
  OR new.boottime_s IS NOT old.boottime_s OR new.boot_id IS NOT old.boot_id OR new.synchronised IS NOT old.synchronised
  OR new.stated_at IS NOT old.stated_at OR new.result IS NOT old.result OR new.reason IS NOT old.reason
  OR (old.punch_id IS NOT NULL AND new.punch_id IS NOT old.punch_id)
  OR (new.badge IS NOT old.badge AND NOT (new.badge = '' AND EXISTS (
        SELECT 1 FROM permits JOIN punches p ON p.user_id = permits.user_id
        WHERE permits.what = 'erase' AND p.id = old.punch_id)))
BEGIN
    SELECT RAISE(ABORT, 'a tap is a fact and cannot be changed');
END;

DROP TRIGGER punches_are_facts;
CREATE TRIGGER punches_are_facts BEFORE UPDATE ON punches
WHEN new.seq IS NOT old.seq OR new.id IS NOT old.id OR new.tap_id IS NOT old.tap_id OR new.user_id IS NOT old.user_id
  OR new.raw_at IS NOT old.raw_at OR new.boot_id IS NOT old.boot_id OR new.boottime_s IS NOT old.boottime_s
  OR new.synchronised IS NOT old.synchronised OR new.reader IS NOT old.reader
  OR new.source IS NOT old.source OR new.job_id IS NOT old.job_id
  OR (old.time_known = 1 AND (new.occurred_at IS NOT old.occurred_at OR new.order_at IS NOT old.order_at
                              OR new.time_error_s IS NOT old.time_error_s OR new.time_known = 0))
  OR (old.direction IS NOT NULL AND new.direction IS NOT old.direction)
  OR (new.badge IS NOT old.badge AND NOT (new.badge IS NULL AND EXISTS (
        SELECT 1 FROM permits WHERE what = 'erase' AND user_id = old.user_id)))
BEGIN
    SELECT RAISE(ABORT, 'a punch is a fact and cannot be changed');
END;

-- Who did what and when stays; only the data of a line may lose a name or a badge.
DROP TRIGGER journal_is_written_once;
CREATE TRIGGER journal_is_written_once BEFORE UPDATE ON journal
WHEN new.id IS NOT old.id OR new.at IS NOT old.at OR new.by IS NOT old.by OR new.action IS NOT old.action
  OR new.punch_id IS NOT old.punch_id OR NOT EXISTS (SELECT 1 FROM permits WHERE what = 'erase')
BEGIN
    SELECT RAISE(ABORT, 'a line of the journal cannot be changed');
END;
