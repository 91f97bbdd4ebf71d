-- The head of a lane and the counts are found state by state: in the old order each look at a lane walked over all that
-- waits in it, so the longer the queue, the slower every single punch of it.

DROP INDEX deliveries_unfinished;
CREATE INDEX deliveries_unfinished ON deliveries (state, user_id, order_at, punch_seq)
WHERE state NOT IN ('delivered', 'discarded');
