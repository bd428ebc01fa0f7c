-- A segment row is one immutable Parquet file that is visible; a file row is one file that was loaded.

-- name: segments
SELECT segment_id, kind, path, rows, bytes, sha256, min_ts, max_ts, source, file_digest, corrects
FROM segment ORDER BY created_ts, segment_id;

-- name: add_segment
INSERT INTO segment
  (segment_id, kind, path, rows, bytes, sha256, min_ts, max_ts, source, file_digest, corrects, created_ts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: remove_segment
DELETE FROM segment WHERE segment_id = ?;

-- name: add_file
INSERT INTO file (digest, name, rows_read, rows_accepted, rows_rejected, rejected_path, mapping, loaded_ts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: loaded
SELECT digest, name, rows_read, rows_accepted, rows_rejected, rejected_path, mapping FROM file WHERE digest = ?;

-- name: files
SELECT digest, name, rows_read, rows_accepted, rows_rejected, rejected_path, mapping FROM file
ORDER BY loaded_ts, digest;

-- name: last_event
SELECT max(last) FROM (
  SELECT max(max_ts) AS last FROM segment WHERE kind IN (SELECT value FROM json_each(?1))
  UNION ALL SELECT max(ts) FROM event WHERE kind IN (SELECT value FROM json_each(?1))
);
