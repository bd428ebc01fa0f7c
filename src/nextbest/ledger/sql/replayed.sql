-- The log as another policy would see it. `happened` is a relation of subject_id, ts, value, decision_id (or NULL):
-- what counts as outcome; limits as in statistics.sql: $play, $days, $due.

-- name: decisions
-- One row is one due decision: what was known, what could be done with what chance, what was done, and what followed.
-- An outcome that names its decision counts for that one; one that does not counts for every decision of its subject
-- in whose window it falls, on a page of several places for the lowest (it may have come from any place above).
WITH due AS (
  SELECT
    decision_id, subject_id, ts, arm, action_id, choice_probability, features, context, candidates, policy_version,
    CASE WHEN request_id = '' THEN decision_id ELSE request_id END AS request,
    1 + len(list_filter(candidates, c -> c.removed_by = 'chosen_above')) AS place
  FROM decisions
  WHERE play = $play AND mode = 'live' AND ts <= $due AND choice_probability > 0 AND NOT degraded
), placed AS (
  SELECT *, place = max(place) OVER (PARTITION BY request, subject_id) AS lowest FROM due
), unnamed AS (
  SELECT d.decision_id, sum(h.value) AS value
  FROM placed AS d JOIN happened AS h
    ON h.subject_id = d.subject_id AND h.ts >= d.ts AND h.ts < d.ts + to_microseconds(CAST($days * 86400000000 AS BIGINT))
  WHERE h.decision_id IS NULL AND d.lowest
  GROUP BY d.decision_id
), named AS (
  SELECT d.decision_id, sum(h.value) AS value
  FROM placed AS d JOIN happened AS h
    ON h.decision_id = d.decision_id AND h.ts >= d.ts AND h.ts < d.ts + to_microseconds(CAST($days * 86400000000 AS BIGINT))
  GROUP BY d.decision_id
)
SELECT
  d.subject_id, d.ts, d.arm, d.action_id, d.choice_probability, d.request, d.place, d.policy_version,
  CAST(json_extract(d.context, '$.prices.budget') AS DOUBLE) AS price,
  json_extract_string(d.context, '$.prices.per_action') AS prices,
  CASE WHEN $wanted THEN d.features END AS features, CASE WHEN $wanted THEN d.context END AS context,
  list_transform(d.candidates, c -> {
    'action_id': c.action_id, 'eligible': c.removed_by IS NULL, 'response_probability': c.response_probability,
    'expected_value': c.expected_value, 'cost': c.cost, 'choice_probability': c.choice_probability,
    'spread': c.spread
  }) AS candidates,
  CAST(CASE WHEN $once THEN least(coalesce(u.value, 0) + coalesce(n.value, 0), 1)
    ELSE coalesce(u.value, 0) + coalesce(n.value, 0) END AS DOUBLE) AS reward
FROM placed AS d
LEFT JOIN unnamed AS u ON u.decision_id = d.decision_id
LEFT JOIN named AS n ON n.decision_id = d.decision_id
ORDER BY d.ts, d.decision_id

-- name: counts
-- One row: the live decisions of a play, and how many of them cannot be used, each counted under its first reason.
SELECT
  count(*) AS decisions,
  count(*) FILTER (WHERE ts > $due) AS pending,
  count(*) FILTER (WHERE ts <= $due AND degraded) AS degraded,
  count(*) FILTER (WHERE ts <= $due AND NOT degraded AND coalesce(choice_probability, 0) <= 0) AS without_probability,
  count(*) FILTER (WHERE ts <= $due AND coalesce(CAST(json_extract(context, '$.hindsight') AS BOOLEAN), false)) AS hindsight,
  count(*) FILTER (WHERE ts <= $due AND coalesce(CAST(json_extract(context, '$.estimated_probability') AS BOOLEAN), false)) AS estimated,
  count(*) FILTER (WHERE ts <= $due AND coalesce(CAST(json_extract(context, '$.estimated_candidates') AS BOOLEAN), false)) AS estimated_others
FROM decisions WHERE play = $play AND mode = 'live'
