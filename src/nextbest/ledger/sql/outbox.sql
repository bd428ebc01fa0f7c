-- One row is one message to be carried out, under a key that is the same at every attempt.

-- name: insert
INSERT OR IGNORE INTO outbox (key, decision_id, play, subject_id, channel, action_id, purpose, payload, status, attempts,
  due_ts, valid_until, detail, created_ts, changed_ts)
VALUES (:key, :decision_id, :play, :subject_id, :channel, :action_id, :purpose, :payload, 'pending', 0,
  :due_ts, :valid_until, '', :now, :now);

-- name: due
SELECT key, decision_id, play, subject_id, channel, action_id, purpose, payload, due_ts, valid_until, attempts FROM outbox
WHERE channel = :channel AND status IN ('pending', 'retry', 'sending') AND due_ts <= :now
  AND (:only IS NULL OR key IN (SELECT value FROM json_each(:only)))
ORDER BY due_ts, key LIMIT :limit;

-- name: mark
UPDATE outbox SET status = :status, detail = :detail, due_ts = coalesce(:due_ts, due_ts), changed_ts = :now
WHERE key = :key;

-- name: claim
UPDATE outbox SET status = 'sending', attempts = attempts + 1, due_ts = :lease_ts, changed_ts = :now WHERE key = :key;

-- name: status
SELECT status, detail, attempts FROM outbox WHERE key = ?;

-- name: counts
SELECT status, count(*) FROM outbox GROUP BY status ORDER BY status;

-- name: waiting
SELECT channel, count(*) FROM outbox WHERE status = 'retry' GROUP BY channel;

-- name: failing_since
SELECT min(created_ts) FROM outbox WHERE channel = :channel AND status IN ('retry', 'expired') AND attempts > 0
  AND changed_ts > coalesce((SELECT max(changed_ts) FROM outbox WHERE channel = :channel AND status = 'sent'), 0);
