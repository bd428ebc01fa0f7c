-- One row is one link of the audit chain, with the salt of its row until that row is erased.
-- `row_<what>` gives the columns that a link vouches for; `unlinked_<what>` gives rows that no link vouches for.

-- name: last
SELECT seq, link FROM chain_link ORDER BY seq DESC LIMIT 1;

-- name: insert
INSERT INTO chain_link (seq, what, ref, digest, link) VALUES (?, ?, ?, ?, ?);

-- name: insert_salt
INSERT INTO chain_salt (seq, salt) VALUES (?, ?);

-- name: seq
SELECT seq FROM chain_link WHERE what = ? AND ref = ?;

-- name: delete_salt
DELETE FROM chain_salt WHERE seq = ?;

-- name: insert_forgotten
INSERT OR IGNORE INTO chain_forgotten (seq, forget_id) VALUES (?, ?);

-- name: all
SELECT seq, digest, link FROM chain_link ORDER BY seq;

-- name: links
SELECT l.ref, l.digest, s.salt, f.forget_id
FROM chain_link AS l LEFT JOIN chain_salt AS s ON s.seq = l.seq LEFT JOIN chain_forgotten AS f ON f.seq = l.seq
WHERE l.what = ? ORDER BY l.seq;

-- name: at_seq
SELECT link FROM chain_link WHERE seq = ?;

-- name: segments
SELECT segment_id, path, sha256 FROM segment WHERE kind = 'decision';

-- name: row_decision
SELECT decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id, choice_probability, seed,
  features, consent_version, policy_version, model_versions, reason, degraded, latency_us, position, action_features
FROM decision WHERE decision_id = ?;

-- name: unlinked_decision
SELECT decision_id FROM decision AS r
WHERE chain_seq IS NULL AND NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'decision' AND ref = r.decision_id)
  OR chain_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM chain_group WHERE seq = r.chain_seq);

-- name: insert_group
INSERT INTO chain_group (seq, digests) VALUES (?, ?);

-- name: groups
SELECT l.seq, l.digest, g.digests FROM chain_link AS l LEFT JOIN chain_group AS g ON g.seq = l.seq
WHERE l.what = 'decisions' ORDER BY l.seq;

-- name: grouped
SELECT chain_seq, chain_place, salt, decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id, choice_probability, seed,
  features, consent_version, policy_version, model_versions, reason, degraded, latency_us, position, action_features
FROM decision WHERE chain_seq IS NOT NULL ORDER BY rowid;

-- name: place
SELECT chain_seq, chain_place FROM decision WHERE decision_id = ? AND chain_seq IS NOT NULL;

-- name: insert_erased
INSERT OR IGNORE INTO chain_erased (seq, place, forget_id) VALUES (?, ?, ?);

-- name: erased
SELECT place FROM chain_erased WHERE seq = ?;

-- name: row_consent
SELECT version, subject_id, purpose, channel, allowed, ts, received_ts, proof, source
FROM consent WHERE version = CAST(? AS INTEGER);

-- name: unlinked_consent
SELECT version FROM consent AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'consent' AND ref = CAST(r.version AS TEXT));

-- name: row_suppression
SELECT digest, reason, ts, version FROM suppression WHERE digest = ?;

-- name: unlinked_suppression
SELECT digest FROM suppression AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'suppression' AND ref = r.digest);

-- name: row_key
SELECT key_id, sha256, scopes, created_ts, expires_ts FROM key WHERE key_id = ?;

-- name: unlinked_key
SELECT key_id FROM key AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'key' AND ref = r.key_id);

-- name: row_key_terms
SELECT key_id, rate, kinds, origins FROM key_terms WHERE key_id = ?;

-- name: unlinked_key_terms
SELECT key_id FROM key_terms AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'key_terms' AND ref = r.key_id);

-- name: row_key_revoked
SELECT key_id, ts FROM key_revoked WHERE key_id = ?;

-- name: unlinked_key_revoked
SELECT key_id FROM key_revoked AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'key_revoked' AND ref = r.key_id);

-- name: row_feedback
SELECT feedback_id, decision_id, verdict, action_id, by, note, ts FROM feedback WHERE feedback_id = ?;

-- name: unlinked_feedback
SELECT feedback_id FROM feedback AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'feedback' AND ref = r.feedback_id);

-- name: row_rollout
SELECT step_id, play, stage, share, why, evidence, ts FROM rollout WHERE step_id = ?;

-- name: unlinked_rollout
SELECT step_id FROM rollout AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'rollout' AND ref = r.step_id);

-- name: row_serving
SELECT serving_id, recipe, model_id, why, ts FROM serving WHERE serving_id = ?;

-- name: unlinked_serving
SELECT serving_id FROM serving AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'serving' AND ref = r.serving_id);

-- name: row_switch
SELECT switch_id, play, channel, action, stopped, why, ts FROM switch WHERE switch_id = ?;

-- name: unlinked_switch
SELECT switch_id FROM switch AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'switch' AND ref = r.switch_id);

-- name: row_approved_amount
SELECT amount_id, play, action_id, ts, amount, by FROM approved_amount WHERE amount_id = ?;

-- name: unlinked_approved_amount
SELECT amount_id FROM approved_amount AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'approved_amount' AND ref = r.amount_id);

-- name: row_alarm
SELECT alarm_id, play, what, raised, why, by, ts FROM alarm WHERE alarm_id = ?;

-- name: unlinked_alarm
SELECT alarm_id FROM alarm AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'alarm' AND ref = r.alarm_id);

-- name: row_config
SELECT config_id, sha256, ts FROM config_change WHERE config_id = ?;

-- name: unlinked_config
SELECT config_id FROM config_change AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'config' AND ref = r.config_id);

-- name: row_erase
SELECT receipt_id, subject_digest, ts, receipt FROM erased WHERE receipt_id = ?;

-- name: unlinked_erase
SELECT receipt_id FROM erased AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'erase' AND ref = r.receipt_id);

-- name: row_segment
SELECT segment_id, kind, rows, sha256 FROM segment WHERE segment_id = ?;

-- name: unlinked_segment
SELECT segment_id FROM segment AS r
WHERE kind = 'decision' AND NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'segment' AND ref = r.segment_id);

-- name: row_forget
SELECT f.forget_id, coalesce((
    SELECT json_group_array(seq) FROM (SELECT seq FROM chain_forgotten WHERE forget_id = f.forget_id ORDER BY seq)
  ), '[]'), (
    SELECT nullif(json_group_array(json_array(seq, place)), '[]')
    FROM (SELECT seq, place FROM chain_erased WHERE forget_id = f.forget_id ORDER BY seq, place)
  )
FROM (SELECT ?1 AS forget_id) AS f
WHERE EXISTS (SELECT 1 FROM chain_forgotten WHERE forget_id = f.forget_id)
  OR EXISTS (SELECT 1 FROM chain_erased WHERE forget_id = f.forget_id);

-- name: unlinked_forget
SELECT forget_id FROM (SELECT forget_id FROM chain_forgotten UNION SELECT forget_id FROM chain_erased) AS r
WHERE NOT EXISTS (SELECT 1 FROM chain_link WHERE what = 'forget' AND ref = r.forget_id);
