-- What a restored journal must learn from the one it replaces: one row is one row of the table that the name ends with.

-- name: read_consent
SELECT subject_id, purpose, channel, allowed, ts, proof, source FROM consent ORDER BY version;

-- name: read_suppression
SELECT digest, reason, ts FROM suppression ORDER BY version;

-- name: read_erased
SELECT receipt_id, subject_digest, ts, receipt FROM erased ORDER BY ts, receipt_id;

-- name: add_erased
INSERT OR IGNORE INTO erased (receipt_id, subject_digest, ts, receipt) VALUES (?, ?, ?, ?);

-- name: read_switch
SELECT switch_id, play, channel, action, stopped, why, ts FROM switch ORDER BY ts, switch_id;

-- name: add_switch
INSERT OR IGNORE INTO switch (switch_id, play, channel, action, stopped, why, ts) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: read_key_revoked
SELECT key_id, ts FROM key_revoked ORDER BY ts, key_id;

-- name: add_key_revoked
INSERT OR IGNORE INTO key_revoked (key_id, ts) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM key WHERE key_id = ?1);

-- name: read_contact
SELECT subject_id, ts, decision_id, channel, play, action_id FROM contact;

-- name: add_contact
INSERT OR IGNORE INTO contact (subject_id, ts, decision_id, channel, play, action_id) VALUES (?, ?, ?, ?, ?, ?);

-- name: read_outbox
SELECT status, attempts, due_ts, detail, changed_ts, key FROM outbox;

-- name: update_outbox
UPDATE outbox SET status = ?, attempts = ?, due_ts = ?, detail = ?, changed_ts = ? WHERE key = ?;

-- name: close_outbox
UPDATE outbox SET status = 'failed', detail = ? WHERE status IN ('pending', 'retry', 'sending');

-- name: read_version
SELECT value FROM counter WHERE name = 'consent';

-- name: subjects
SELECT subject_id FROM event UNION SELECT subject_id FROM outcome UNION SELECT subject_id FROM consent
UNION SELECT subject_id FROM identity UNION SELECT subject_id FROM decision UNION SELECT subject_id FROM contact
UNION SELECT subject_id FROM outbox UNION SELECT subject_id FROM published UNION SELECT from_id FROM merge
UNION SELECT into_id FROM merge UNION SELECT subject_id FROM idempotency WHERE subject_id IS NOT NULL;

-- name: check
PRAGMA quick_check(1);
