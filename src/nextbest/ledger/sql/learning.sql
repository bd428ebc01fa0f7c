-- One row is one state of a learner, one decision to learn from, or one thing that may answer a decision.

-- name: newest
SELECT number, version, body, cursor, ts FROM learner_state WHERE play = ? ORDER BY number DESC LIMIT 1;

-- name: number
SELECT max(number) FROM learner_state WHERE play = ?;

-- name: insert
INSERT INTO learner_state (play, number, version, body, cursor, ts) VALUES (?, ?, ?, ?, ?, ?);

-- name: forget_older
DELETE FROM learner_state WHERE play = ? AND number <= ?;

-- name: add_learnt
INSERT OR IGNORE INTO learnt (decision_id, play) VALUES (?, ?);

-- name: clear_learnt
DELETE FROM learnt WHERE play = ?;

-- name: learnt
SELECT decision_id FROM learnt WHERE decision_id IN (SELECT value FROM json_each(?));

-- name: erasures
SELECT count(*) FROM erased;

-- name: due
SELECT decision_id, subject_id, ts, action_id, context, features, action_features, arm FROM decision
WHERE play = :play AND ts >= :since AND ts < :until AND mode = 'live' AND degraded = 0 ORDER BY ts, decision_id LIMIT :most;

-- name: by_id
SELECT decision_id, subject_id, ts, action_id, context, features, action_features, arm FROM decision
WHERE decision_id = :decision_id AND play = :play AND mode = 'live' AND degraded = 0 AND ts <= :ts + :early AND ts > :ts - :window;

-- name: last_of_subject
SELECT decision_id, subject_id, ts, action_id, context, features, action_features, arm FROM decision
WHERE subject_id IN (SELECT value FROM json_each(:subjects)) AND play = :play AND mode = 'live' AND degraded = 0
  AND ts <= :ts AND ts > :ts - :window
ORDER BY ts DESC, coalesce(position, 1), decision_id LIMIT 1;

-- name: outcomes
SELECT subject_id, ts, decision_id, rowid FROM outcome WHERE rowid > ? AND name = ? AND value <> 0 ORDER BY rowid LIMIT ?;

-- name: last_outcome_row
SELECT coalesce(max(rowid), 0) FROM outcome;

-- name: events
SELECT subject_id, ts, NULL, seq FROM event WHERE seq > ? AND kind = ? ORDER BY seq LIMIT ?;

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM event;

-- name: last_outcome
SELECT max(ts) FROM outcome;

-- name: first
SELECT min(ts) FROM decision WHERE play = ? AND mode = 'live';
