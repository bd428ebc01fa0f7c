-- The journal's rows as analysis sees them: one row per live event, outcome, identity, consent, decision, prediction.
-- Each statement is streamed into Arrow; its columns have the names of the schema in `live.py`.

-- name: counts
SELECT kind, count(*) FROM event GROUP BY kind;

-- name: event
SELECT message_id, subject_id, subject_type, ts, ts_offset_min, received_ts, source, body FROM event
WHERE kind = ?1 AND seq <= ?2 ORDER BY seq;

-- name: outcomes
SELECT outcome_id, decision_id, subject_id, ts, name, value, source FROM outcome ORDER BY ts, outcome_id;

-- name: identities
SELECT subject_id, identity_type, identity, ts, source FROM identity;

-- name: consent
SELECT subject_id, purpose, channel, allowed, ts, proof, source, received_ts, version FROM consent ORDER BY version;

-- name: decisions
SELECT decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id, choice_probability,
  seed, features, consent_version, policy_version, model_versions, reason, degraded, latency_us
FROM decision ORDER BY ts, decision_id;

-- name: predictions
SELECT p.subject_id, p.recipe, g.model_id, g.as_of, g.ts, p.body
FROM published AS p JOIN publication AS g ON g.recipe = p.recipe AND g.generation = p.generation;

-- name: counts_of_tables
SELECT 'outcomes', count(*) FROM outcome
UNION ALL SELECT 'identities', count(*) FROM identity
UNION ALL SELECT 'consent', count(*) FROM consent
UNION ALL SELECT 'decisions', count(*) FROM decision;

-- name: last
SELECT max(seq) FROM event WHERE kind = ?;

-- name: take
DELETE FROM event WHERE kind = ? AND seq <= ?;

-- name: compactions
SELECT count(*) FROM segment WHERE source = ?;
