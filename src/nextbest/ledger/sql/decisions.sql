-- One row is one decision, one contact that a decision makes, or one person's judgement of a decision.

-- name: insert
INSERT INTO decision (decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id,
  choice_probability, seed, features, consent_version, policy_version, model_versions, reason, degraded, latency_us,
  position, action_features, chain_seq, chain_place, salt)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: get
SELECT decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id, choice_probability, seed,
  features, consent_version, policy_version, model_versions, reason, degraded, latency_us, position, action_features
FROM decision WHERE decision_id = ?;

-- name: count_of
SELECT count(*) FROM decision
WHERE subject_id IN (SELECT value FROM json_each(:subjects)) AND ts >= :since AND mode = 'live' AND position IS NULL;

-- name: insert_contact
INSERT OR IGNORE INTO contact (subject_id, ts, decision_id, channel, play, action_id) VALUES (?, ?, ?, ?, ?, ?);

-- name: contacts_since
SELECT subject_id, ts, channel, play, action_id FROM contact WHERE ts >= ? ORDER BY ts, subject_id, decision_id;

-- name: count_contacts
SELECT json_group_object(asked.key, (
  SELECT count(*) FROM (
    SELECT 1 FROM contact
    WHERE subject_id IN (SELECT value FROM json_each(asked.value -> 0))
    AND ts >= asked.value ->> 1 AND asked.value ->> 2 IN ('', channel)
    LIMIT :most
  )
)) FROM json_each(:asked) AS asked;

-- name: insert_feedback
INSERT INTO feedback (feedback_id, decision_id, verdict, action_id, by, note, ts) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: feedback_of
SELECT feedback_id, decision_id, verdict, action_id, by, note, ts FROM feedback WHERE decision_id = ? ORDER BY rowid;
