-- One row is one turn of the kill switch for a play, a channel and an action ('*' for all); the latest counts.

-- name: insert
INSERT INTO switch (switch_id, play, channel, action, stopped, why, ts) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: stopped
SELECT 1 FROM (
  SELECT stopped, max(rowid) FROM switch
  WHERE play IN (:play, '*') AND channel IN (:channel, '*') AND action IN (:action, '*')
  GROUP BY play, channel, action
) WHERE stopped = 1 LIMIT 1;

-- name: listing
SELECT play, channel, action, why, ts FROM (
  SELECT play, channel, action, stopped, why, ts, max(rowid) FROM switch GROUP BY play, channel, action
) WHERE stopped = 1 ORDER BY play, channel, action;

-- name: database
PRAGMA database_list;
