-- One row is one step of a play's rollout, or one model that serves for its recipe from then on; the latest counts.

-- name: insert_step
INSERT INTO rollout (step_id, play, stage, share, why, evidence, ts) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: steps
SELECT step_id, play, stage, share, why, evidence, ts FROM rollout WHERE play = ? ORDER BY rowid;

-- name: stages
SELECT play, stage, share FROM (SELECT play, stage, share, max(rowid) FROM rollout GROUP BY play) ORDER BY play;

-- name: insert_serving
INSERT INTO serving (serving_id, recipe, model_id, why, ts) VALUES (?, ?, ?, ?, ?);

-- name: servings
SELECT serving_id, recipe, model_id, why, ts FROM serving WHERE recipe = ? ORDER BY rowid;

-- name: all_servings
SELECT recipe, model_id FROM (SELECT recipe, model_id, max(rowid) FROM serving GROUP BY recipe) ORDER BY recipe;

-- name: stamp
SELECT (SELECT coalesce(max(rowid), 0) FROM rollout), (SELECT coalesce(max(rowid), 0) FROM serving);
