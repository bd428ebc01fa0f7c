-- The arms of a play as sums. `happened` is a relation of subject_id, ts, value: what counts as outcome; `asked` limits:
-- $play, $days (how long after the decision an outcome counts), $due (decisions later than this are still pending).

-- name: arms
-- One row is one arm and action of a play: its subjects (by their first due decision) and the sums of their outcomes.
WITH first AS (
  SELECT subject_id, arm, action_id, ts FROM decisions
  WHERE play = $play AND mode = 'live' AND ts <= $due
  QUALIFY row_number() OVER (PARTITION BY subject_id ORDER BY ts, decision_id) = 1
), answered AS (
  SELECT f.subject_id, any_value(f.arm) AS arm, any_value(f.action_id) AS action_id, coalesce(sum(h.value), 0) AS value
  FROM first AS f LEFT JOIN happened AS h
    ON h.subject_id = f.subject_id AND h.ts > f.ts AND h.ts <= f.ts + to_days($days)
  GROUP BY f.subject_id
), capped AS (SELECT arm, action_id, CASE WHEN $once THEN least(value, 1) ELSE value END AS value FROM answered)
SELECT
  arm, action_id, count(*) AS n, CAST(sum(value) AS DOUBLE) AS total, CAST(sum(value * value) AS DOUBLE) AS total_squares
FROM capped GROUP BY arm, action_id ORDER BY arm, action_id

-- name: actions
-- One row is one action and whether it was taken, over the subjects who could have got it: sums weighted by
-- 1 / choice probability, from which a weighted mean and its variance follow.
WITH first AS (
  SELECT decision_id, subject_id, action_id, choice_probability, ts FROM decisions
  WHERE play = $play AND mode = 'live' AND ts <= $due AND NOT degraded AND choice_probability > 0
  QUALIFY row_number() OVER (PARTITION BY subject_id ORDER BY ts, decision_id) = 1
), answered AS (
  SELECT
    f.decision_id, any_value(f.action_id) AS action_id, any_value(f.choice_probability) AS p, coalesce(sum(h.value), 0) AS value
  FROM first AS f LEFT JOIN happened AS h
    ON h.subject_id = f.subject_id AND h.ts > f.ts AND h.ts <= f.ts + to_days($days)
  GROUP BY f.decision_id
), eligible AS (
  SELECT c.action_id AS asked, a.action_id = c.action_id AS taken, 1 / a.p AS w,
    CASE WHEN $once THEN least(a.value, 1) ELSE a.value END AS y
  FROM candidates AS c JOIN answered AS a ON a.decision_id = c.decision_id
  WHERE c.action_id <> 'none' AND c.choice_probability > 0 AND a.action_id IN (c.action_id, 'none')
)
SELECT
  asked AS action_id, taken, count(*) AS n, CAST(sum(w) AS DOUBLE) AS w, CAST(sum(w * y) AS DOUBLE) AS wy,
  CAST(sum(w * w) AS DOUBLE) AS ww, CAST(sum(w * w * y) AS DOUBLE) AS wwy, CAST(sum(w * w * y * y) AS DOUBLE) AS wwyy
FROM eligible GROUP BY asked, taken ORDER BY asked, taken

-- name: responses
-- One row is one due decision of a play: what was expected without an action, what was done, and whether it was answered.
SELECT
  d.decision_id, any_value(d.action_id) AS action_id, any_value(d.choice_probability) AS choice_probability,
  any_value(c.response_probability) AS base, coalesce(sum(h.value), 0) > 0 AS responded
FROM decisions AS d
JOIN candidates AS c ON c.decision_id = d.decision_id AND c.action_id = 'none' AND c.response_probability IS NOT NULL
LEFT JOIN happened AS h ON h.subject_id = d.subject_id AND h.ts > d.ts AND h.ts <= d.ts + to_days($days)
WHERE d.play = $play AND d.mode = 'live' AND d.ts <= $due AND NOT d.degraded AND d.choice_probability > 0
GROUP BY d.decision_id ORDER BY d.decision_id
