-- The arms of a play as sums. `happened` is a relation of subject_id, ts, value: what counts as outcome; limits:
-- $play, $days (how long after the decision an outcome counts), $due (decisions later than this are still pending).
-- A window is half open, as the windows of features and labels are: what happens at the very moment of the decision
-- (a date without a time, a list made at midnight) is not known to the decision, hence belongs to what followed.

-- name: arms
-- One row is one arm and action of a play: its subjects (by their first due decision) and the sums of their outcomes.
WITH first AS (
  SELECT subject_id, arm, action_id, ts, context FROM decisions
  WHERE play = $play AND mode = 'live' AND ts <= $due
  QUALIFY row_number() OVER (PARTITION BY subject_id ORDER BY ts, decision_id) = 1
), answered AS (
  SELECT
    f.subject_id, any_value(f.arm) AS arm, any_value(f.action_id) AS action_id, coalesce(sum(h.value), 0) AS value,
    any_value(coalesce(CAST(json_extract(f.context, '$.hindsight') AS BOOLEAN), false)) AS hindsight
  FROM first AS f LEFT JOIN happened AS h
    ON h.subject_id = f.subject_id AND h.ts >= f.ts AND h.ts < f.ts + to_microseconds(CAST($days * 86400000000 AS BIGINT))
  GROUP BY f.subject_id
), capped AS (
  SELECT arm, action_id, hindsight, CASE WHEN $once THEN least(value, 1) ELSE value END AS value FROM answered
)
SELECT
  arm, action_id, count(*) AS n, CAST(sum(value) AS DOUBLE) AS total,
  CAST(sum(value * value) AS DOUBLE) AS total_squares, count(*) FILTER (WHERE value <> 0) AS answered,
  count(*) FILTER (WHERE hindsight) AS hindsight
FROM capped GROUP BY arm, action_id ORDER BY arm, action_id

-- name: actions
-- One row is one action and whether it was taken, over the subjects who could have got it: sums weighted by
-- 1 / choice probability, from which a weighted mean and its variance follow. A subject counts by its first decision
-- at which anything could be drawn: later ones depend on what came of that one.
WITH open AS (
  SELECT decision_id FROM candidates
  WHERE play = $play AND mode = 'live' AND ts <= $due AND action_id <> 'none' AND choice_probability > 0
  GROUP BY decision_id
), first AS (
  SELECT d.decision_id, d.subject_id, d.action_id, d.choice_probability, d.degraded, d.ts
  FROM decisions AS d JOIN open AS o ON o.decision_id = d.decision_id
  QUALIFY row_number() OVER (PARTITION BY d.subject_id ORDER BY d.ts, d.decision_id) = 1
), answered AS (
  SELECT
    f.decision_id, any_value(f.action_id) AS action_id, any_value(f.choice_probability) AS p, coalesce(sum(h.value), 0) AS value
  FROM first AS f LEFT JOIN happened AS h
    ON h.subject_id = f.subject_id AND h.ts >= f.ts AND h.ts < f.ts + to_microseconds(CAST($days * 86400000000 AS BIGINT))
  WHERE NOT f.degraded AND f.choice_probability > 0
  GROUP BY f.decision_id
), eligible AS (
  SELECT c.action_id AS asked, a.action_id = c.action_id AS taken, 1 / a.p AS w,
    CASE WHEN $once THEN least(a.value, 1) ELSE a.value END AS y
  FROM candidates AS c JOIN answered AS a ON a.decision_id = c.decision_id
  WHERE c.action_id <> 'none' AND c.choice_probability > 0 AND a.action_id IN (c.action_id, 'none')
)
SELECT
  asked AS action_id, taken, count(*) AS n, count(*) FILTER (WHERE y <> 0) AS answered,
  CAST(sum(w) AS DOUBLE) AS w, CAST(sum(w * y) AS DOUBLE) AS wy,
  CAST(sum(w * w) AS DOUBLE) AS ww, CAST(sum(w * w * y) AS DOUBLE) AS wwy, CAST(sum(w * w * y * y) AS DOUBLE) AS wwyy
FROM eligible GROUP BY asked, taken ORDER BY asked, taken

-- name: responses
-- One row is one due decision of a play, a subject's first at which anything could be drawn: what was expected without
-- an action, what could have been drawn, what was done, and whether it was answered. Decisions taken in hindsight,
-- when what followed was already known, were never carried out and teach nothing.
WITH open AS (
  SELECT decision_id, list(action_id ORDER BY action_id) AS could FROM candidates
  WHERE play = $play AND mode = 'live' AND ts <= $due AND action_id <> 'none' AND choice_probability > 0
  GROUP BY decision_id
), first AS (
  SELECT d.*, o.could FROM decisions AS d JOIN open AS o ON o.decision_id = d.decision_id
  WHERE NOT coalesce(CAST(json_extract(d.context, '$.hindsight') AS BOOLEAN), false)
  QUALIFY row_number() OVER (PARTITION BY d.subject_id ORDER BY d.ts, d.decision_id) = 1
)
SELECT
  d.decision_id, any_value(d.action_id) AS action_id, any_value(d.choice_probability) AS choice_probability,
  any_value(c.response_probability) AS base, any_value(d.could) AS could, coalesce(sum(h.value), 0) > 0 AS responded
FROM first AS d
JOIN candidates AS c ON c.decision_id = d.decision_id AND c.action_id = 'none' AND c.response_probability IS NOT NULL
LEFT JOIN happened AS h ON h.subject_id = d.subject_id AND h.ts >= d.ts AND h.ts < d.ts + to_microseconds(CAST($days * 86400000000 AS BIGINT))
WHERE NOT d.degraded AND d.choice_probability > 0
GROUP BY d.decision_id ORDER BY d.decision_id
