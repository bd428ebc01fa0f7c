-- One row is one erasure that a model had learnt from: the model, why it is to be fitted again, and when that was known.

-- name: marked
SELECT model_id, reason, max(ts) FROM model_mark GROUP BY model_id ORDER BY model_id;
