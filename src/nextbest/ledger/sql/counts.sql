-- One row is one subject id with how often it was contacted or decided for between two moments, both counted in.

-- name: contacts
SELECT subject_id, count(*) FROM contact WHERE ts BETWEEN ? AND ? GROUP BY subject_id;

-- name: decisions
SELECT subject_id, count(*) FROM decision
WHERE ts BETWEEN ? AND ? AND mode = 'live' AND position IS NULL GROUP BY subject_id;
