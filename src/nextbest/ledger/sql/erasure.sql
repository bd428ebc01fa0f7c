-- Each `delete_<table>` removes the rows of one person. :ids are the person's subject ids, :decisions the ids of the
-- decisions about the person, :terms what may name the person in a stored reply: JSON arrays of texts.

-- name: identities
SELECT identity FROM identity WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: decisions
SELECT decision_id FROM decision WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: messages
SELECT message_id FROM event WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: chained_consent
SELECT CAST(version AS TEXT) FROM consent WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: chained_decision
SELECT decision_id FROM decision WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: chained_feedback
SELECT feedback_id FROM feedback WHERE decision_id IN (SELECT value FROM json_each(:decisions));

-- name: delete_event
DELETE FROM event WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_outcome
DELETE FROM outcome
WHERE subject_id IN (SELECT value FROM json_each(:ids)) OR decision_id IN (SELECT value FROM json_each(:decisions));

-- name: delete_consent
DELETE FROM consent WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_identity
DELETE FROM identity WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_merge
DELETE FROM merge
WHERE from_id IN (SELECT value FROM json_each(:ids)) OR into_id IN (SELECT value FROM json_each(:ids));

-- name: delete_decision
DELETE FROM decision WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_contact
DELETE FROM contact WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_feedback
DELETE FROM feedback WHERE decision_id IN (SELECT value FROM json_each(:decisions));

-- name: delete_outbox
DELETE FROM outbox
WHERE subject_id IN (SELECT value FROM json_each(:ids)) OR decision_id IN (SELECT value FROM json_each(:decisions));

-- name: delete_published
DELETE FROM published WHERE subject_id IN (SELECT value FROM json_each(:ids));

-- name: delete_idempotency
DELETE FROM idempotency
WHERE subject_id IN (SELECT value FROM json_each(:ids))
  OR EXISTS (SELECT 1 FROM json_each(:terms) WHERE instr(CAST(reply AS TEXT), value) > 0)
  OR EXISTS (SELECT 1 FROM json_each(:terms) WHERE instr(key, value) > 0);

-- name: delete_learnt
DELETE FROM learnt WHERE decision_id IN (SELECT value FROM json_each(:decisions));

-- name: mark_model
INSERT OR IGNORE INTO model_mark (model_id, receipt_id, reason, ts) VALUES (?, ?, ?, ?);

-- name: add_receipt
INSERT INTO erased (receipt_id, subject_digest, ts, receipt) VALUES (?, ?, ?, ?);

-- name: temporary_in_memory
PRAGMA temp_store = MEMORY;

-- name: secure_delete
PRAGMA secure_delete = ON;

-- name: vacuum
VACUUM;
