-- One row is one turn of an alarm of a play about one thing; the latest of each counts.

-- name: insert
INSERT INTO alarm (alarm_id, play, what, raised, why, by, ts) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: newest
SELECT play, what, raised, why, by, ts FROM (
  SELECT play, what, raised, why, by, ts, max(rowid) FROM alarm GROUP BY play, what
) ORDER BY play, what;
