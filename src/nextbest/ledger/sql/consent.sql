-- One row is one yes or no of one subject, for a purpose and a channel ('*' for all), with its proof.

-- name: version
SELECT value FROM counter WHERE name = 'consent';

-- name: touch
UPDATE counter SET value = value + ? WHERE name = 'consent' RETURNING value;

-- name: insert
INSERT INTO consent (version, subject_id, purpose, channel, allowed, ts, received_ts, proof, source)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: suppress
INSERT OR IGNORE INTO suppression (digest, reason, ts, version) VALUES (?, ?, ?, ?);

-- name: is_suppressed
SELECT 1 FROM suppression WHERE digest = ?;

-- name: suppressions
SELECT digest FROM suppression;

-- name: suppressed_subjects
SELECT DISTINCT i.subject_id FROM suppression AS s JOIN identity AS i ON i.digest = s.digest;

-- name: suppressed_any
SELECT 1 FROM suppression AS s
WHERE s.digest IN (SELECT value FROM json_each(:digests))
  OR s.digest IN (SELECT digest FROM identity WHERE subject_id IN (SELECT value FROM json_each(:subjects))) LIMIT 1;

-- name: erased
SELECT DISTINCT subject_digest FROM erased;

-- name: erased_any
SELECT 1 FROM erased WHERE subject_digest IN (SELECT value FROM json_each(:digests)) LIMIT 1;

-- name: latest
SELECT subject_id, purpose, channel, allowed, max(version) AS version FROM consent
WHERE purpose IN (:purpose, '*') GROUP BY subject_id, purpose, channel;

-- name: last_answer
SELECT allowed FROM consent
WHERE subject_id = :subject_id AND purpose = :purpose AND channel = :channel ORDER BY version DESC LIMIT 1;

-- name: latest_of
SELECT json_group_array(json_array(subject_id, purpose, channel, allowed, version)) FROM (
  SELECT subject_id, purpose, channel, allowed, max(version) AS version FROM consent
  WHERE subject_id IN (SELECT value FROM json_each(?)) GROUP BY subject_id, purpose, channel
);

-- name: anybody
SELECT EXISTS (SELECT 1 FROM merge WHERE undone_ts IS NULL), EXISTS (SELECT 1 FROM suppression), EXISTS (SELECT 1 FROM erased);
