-- Silent change shows: every punch, and every kept tap of an unknown badge, has one link in a chain of digests
-- (daemon/queue/chain.py). Not a signature: it finds accidents, not somebody who can write the whole file anew.

CREATE TABLE chain (
    id     INTEGER PRIMARY KEY,          -- without a gap, but where rows that are gone were merged into a later one
    kind   TEXT NOT NULL CHECK (kind IN ('origin', 'punch', 'tap')),
    why    TEXT NOT NULL CHECK (why IN ('begun', 'stored', 'settled', 'erased', 'adopted', 'salvaged')),
    row_id INTEGER,                      -- seq of the punch, id of the tap
    salt   BLOB,                         -- thrown away with the digest, so that nothing erased can be guessed from it
    digest BLOB,                         -- of salt and facts
    hash   BLOB NOT NULL,                -- of the hash before, id, kind, why, row_id and digest
    gone   TEXT CHECK (gone IN ('settled', 'pruned', 'erased')),
    CHECK (kind = 'origin' OR ((digest IS NULL) = (gone IS NOT NULL) AND (salt IS NULL) = (gone IS NOT NULL)))
) STRICT;

INSERT INTO chain (id, kind, why, hash) VALUES (1, 'origin', 'begun', randomblob(32));

-- How far what was stored before this step has been linked; removed when all of it is.
INSERT INTO settings (key, value) VALUES ('chain.adopted', '0');

CREATE TRIGGER chain_is_kept BEFORE UPDATE ON chain
WHEN new.id IS NOT old.id OR new.kind IS NOT old.kind OR new.why IS NOT old.why OR new.row_id IS NOT old.row_id
  OR new.hash IS NOT old.hash OR old.kind = 'origin' OR new.gone IS NULL
BEGIN
    SELECT RAISE(ABORT, 'a link of the chain cannot be changed');
END;

CREATE TRIGGER chain_has_no_gap BEFORE DELETE ON chain
WHEN old.gone IS NULL OR NOT EXISTS (SELECT 1 FROM chain WHERE id = old.id + 1 AND gone IS NOT NULL)
BEGIN
    SELECT RAISE(ABORT, 'a link of the chain cannot be deleted');
END;

ALTER TABLE punches ADD COLUMN link INTEGER;  -- its link; a later one once its time or direction is filled in
ALTER TABLE taps ADD COLUMN link INTEGER;     -- its link, of taps of unknown badges

CREATE TRIGGER punches_keep_their_link BEFORE UPDATE OF link ON punches
WHEN old.link IS NOT NULL AND (new.link IS NULL OR new.link < old.link)
BEGIN
    SELECT RAISE(ABORT, 'a punch cannot go back to an older link of the chain');
END;

CREATE TRIGGER taps_keep_their_link BEFORE UPDATE OF link ON taps
WHEN old.link IS NOT NULL AND (new.link IS NULL OR new.link < old.link)
BEGIN
    SELECT RAISE(ABORT, 'a tap cannot go back to an older link of the chain');
END;
