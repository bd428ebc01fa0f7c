-- One row is one API key, known only by its hash, or one reply that a repeated request gets again.

-- name: insert
INSERT INTO key (key_id, sha256, scopes, created_ts, expires_ts) VALUES (?, ?, ?, ?, ?);

-- name: insert_terms
INSERT INTO key_terms (key_id, rate, kinds, origins) VALUES (?, ?, ?, ?);

-- name: find
SELECT k.key_id, k.scopes, k.created_ts, k.expires_ts, r.ts, u.ts, t.rate, t.kinds, t.origins FROM key AS k
LEFT JOIN key_revoked AS r ON r.key_id = k.key_id LEFT JOIN key_used AS u ON u.key_id = k.key_id
LEFT JOIN key_terms AS t ON t.key_id = k.key_id WHERE k.sha256 = ?;

-- name: listing
SELECT k.key_id, k.scopes, k.created_ts, k.expires_ts, r.ts, u.ts, t.rate, t.kinds, t.origins FROM key AS k
LEFT JOIN key_revoked AS r ON r.key_id = k.key_id LEFT JOIN key_used AS u ON u.key_id = k.key_id
LEFT JOIN key_terms AS t ON t.key_id = k.key_id ORDER BY k.created_ts, k.key_id;

-- name: ids
SELECT key_id FROM key WHERE key_id NOT IN (SELECT key_id FROM key_revoked) ORDER BY key_id;

-- name: revoke
INSERT INTO key_revoked (key_id, ts) VALUES (?, ?);

-- name: used
INSERT INTO key_used (key_id, ts) VALUES (?, ?) ON CONFLICT (key_id) DO UPDATE SET ts = excluded.ts;

-- name: reply
SELECT body_digest, reply FROM idempotency WHERE key = ?;

-- name: insert_reply
INSERT INTO idempotency (key, body_digest, reply, subject_id, ts) VALUES (?, ?, ?, ?, ?);

-- name: prune_replies
DELETE FROM idempotency WHERE ts < ?;
