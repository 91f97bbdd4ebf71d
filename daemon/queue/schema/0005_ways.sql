-- A kept tap of an unknown badge becomes a punch days later: by then its reader may be meant for another direction.

ALTER TABLE taps ADD COLUMN way TEXT  -- how its reader decided when it was tapped; null of other taps, and of older ones
CHECK (way IN ('toggle', 'clock_in', 'clock_out'));

CREATE TRIGGER taps_keep_their_way BEFORE UPDATE OF way ON taps WHEN new.way IS NOT old.way
BEGIN
    SELECT RAISE(ABORT, 'a tap is a fact and cannot be changed');
END;
