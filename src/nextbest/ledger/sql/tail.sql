-- One row is one live event behind a place in the journal, or what tells whether events that were read still stand.

-- name: stamp
SELECT (SELECT value FROM counter WHERE name = 'consent'), (SELECT count(*) FROM segment),
  (SELECT coalesce(max(seq), 0) FROM event);

-- name: publications
SELECT (SELECT value FROM counter WHERE name = 'consent'),
  (SELECT coalesce(group_concat(recipe || ' ' || generation || ' ' || ts), '') FROM publication);

-- name: people
SELECT (SELECT count(*) FROM merge WHERE undone_ts IS NULL), (SELECT count(*) FROM merge),
  (SELECT count(*) FROM erased);

-- name: since
SELECT seq, kind, message_id, subject_id, subject_type, ts, ts_offset_min, received_ts, source, body
FROM event WHERE seq > ? ORDER BY seq LIMIT ?;
