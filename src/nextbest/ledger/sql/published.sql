-- One row is one subject's predictions by one recipe; only rows of the current generation count.

-- name: insert
INSERT INTO published (subject_id, recipe, generation, body) VALUES (?, ?, ?, ?)
ON CONFLICT (subject_id, recipe, generation) DO UPDATE SET body = excluded.body;

-- name: switch
INSERT INTO publication (recipe, generation, model_id, as_of, ts, exact) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (recipe) DO UPDATE SET generation = excluded.generation, model_id = excluded.model_id,
  as_of = excluded.as_of, ts = excluded.ts, exact = excluded.exact;

-- name: stale
DELETE FROM published WHERE generation IN (SELECT value FROM json_each(?));

-- name: stale_generations
SELECT DISTINCT p.generation FROM published AS p
LEFT JOIN publication AS g ON g.recipe = p.recipe AND g.generation = p.generation
WHERE p.recipe = ? AND g.recipe IS NULL AND p.generation < ?;

-- name: of_subject
SELECT p.body, p.recipe, g.model_id FROM published AS p
JOIN publication AS g ON g.recipe = p.recipe AND g.generation = p.generation
WHERE p.subject_id = ? ORDER BY p.recipe;

-- name: glance
SELECT (SELECT value FROM counter WHERE name = 'consent'),
  (SELECT coalesce(group_concat(recipe || ' ' || generation || ' ' || ts), '') FROM publication),
  EXISTS (SELECT 1 FROM merge WHERE from_id = :id AND undone_ts IS NULL),
  (SELECT json_group_array(json_array(body, recipe, model_id, ts)) FROM (
    SELECT p.body, p.recipe, g.model_id, g.ts FROM published AS p
    JOIN publication AS g ON g.recipe = p.recipe AND g.generation = p.generation
    WHERE p.subject_id = :id ORDER BY p.recipe
  ));

-- name: confirm
UPDATE publication SET ts = ? WHERE recipe = ?;

-- name: exact
SELECT generation, exact FROM publication WHERE recipe = ? AND model_id = ? AND as_of = ?;

-- name: of_generation
SELECT subject_id, body FROM published WHERE generation = ? ORDER BY subject_id;

-- name: segments_read
SELECT segment_id FROM segment WHERE kind <> 'decision' ORDER BY segment_id;

-- name: rows_read
SELECT (SELECT coalesce(max(seq), 0) FROM event), (SELECT count(*) FROM event),
  (SELECT count(*) FROM merge WHERE undone_ts IS NULL), (SELECT count(*) FROM merge), (SELECT count(*) FROM erased),
  (SELECT coalesce(max(rowid), 0) FROM outcome), (SELECT count(*) FROM outcome);
