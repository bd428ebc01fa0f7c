-- One row is one identifier that belongs to a subject, or one statement that two ids are one subject.

-- name: insert
INSERT OR IGNORE INTO identity (subject_id, identity_type, identity, digest, ts, source) VALUES (?, ?, ?, ?, ?, ?);

-- name: subjects_of
SELECT DISTINCT subject_id FROM identity WHERE digest = ? ORDER BY subject_id;

-- name: known
SELECT EXISTS (SELECT 1 FROM identity WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM event WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM published WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM consent WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM outcome WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM decision WHERE subject_id = :id)
  OR EXISTS (SELECT 1 FROM merge WHERE (from_id = :id OR into_id = :id) AND undone_ts IS NULL);

-- name: merge
INSERT INTO merge (merge_id, from_id, into_id, why, ts) VALUES (?, ?, ?, ?, ?);

-- name: undo_merge
UPDATE merge SET undone_ts = ? WHERE merge_id = ? AND undone_ts IS NULL;

-- name: merge_of
SELECT merge_id FROM merge WHERE from_id = ? AND undone_ts IS NULL;

-- name: has_identity
SELECT 1 FROM identity WHERE subject_id = ? LIMIT 1;

-- name: merges
SELECT from_id, into_id FROM merge WHERE undone_ts IS NULL;

-- name: undone
SELECT from_id, into_id FROM merge WHERE undone_ts IS NOT NULL;

-- name: canonical
WITH RECURSIVE up (id) AS (
  SELECT :id UNION SELECT m.into_id FROM merge AS m JOIN up ON m.from_id = up.id WHERE m.undone_ts IS NULL
)
SELECT id FROM up WHERE NOT EXISTS (SELECT 1 FROM merge WHERE from_id = up.id AND undone_ts IS NULL);

-- name: members
WITH RECURSIVE down (id) AS (
  SELECT :id UNION SELECT m.from_id FROM merge AS m JOIN down ON m.into_id = down.id WHERE m.undone_ts IS NULL
)
SELECT id FROM down;

-- name: shared
SELECT json_group_array(subject_id) FROM identity WHERE identity_type IN ('email', 'phone')
GROUP BY identity_type, identity HAVING count(*) BETWEEN 2 AND :most ORDER BY identity_type, identity;
