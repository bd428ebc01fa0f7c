-- One row is one live event that is not yet in a segment, one message that was taken in, or one outcome.

-- name: message
SELECT content_digest FROM message WHERE id_digest = ?;

-- name: insert_message
INSERT OR IGNORE INTO message (id_digest, content_digest, received_ts) VALUES (?, ?, ?);

-- name: insert
INSERT INTO event (kind, message_id, subject_id, subject_type, ts, ts_offset_min, received_ts, source, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: insert_outcome
INSERT INTO outcome (outcome_id, decision_id, subject_id, ts, name, value, source, received_ts)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (outcome_id) DO NOTHING;

-- name: early_outcomes
-- One row is an outcome that names its decision and seems to lie a little before it, and the moment of the decision.
SELECT o.outcome_id, d.ts FROM outcome AS o JOIN decision AS d ON d.decision_id = o.decision_id
WHERE o.decision_id IS NOT NULL AND o.ts < d.ts AND o.ts >= d.ts - ?;
