-- The views of analysis, with names that `views.py` replaces by the real ones: `source` by Parquet files or another view,
-- `numbered` by Parquet files with the place of every row, `correcting` by those of them that correct others,
-- `live` by the journal's rows, `value` by a column, `shape` by the types of a JSON text. One row means what the kind says.

-- name: newest
-- Versions of one event are in order of receipt; those of one moment in the order of the files, then of their rows.
SELECT n.* EXCLUDE (file_index, file_row_number)
FROM numbered AS n
LEFT JOIN (
  SELECT v.event_id, max(row(v.received_ts, v.file_index, v.file_row_number)) AS version
  FROM numbered AS v WHERE v.event_id IN (SELECT c.event_id FROM correcting AS c) GROUP BY v.event_id
) AS last ON last.event_id = n.event_id
WHERE last.version IS NULL OR last.version = row(n.received_ts, n.file_index, n.file_row_number)

-- name: live_event
SELECT
  message_id AS event_id, subject_id, subject_type, ts, ts_offset_min, received_ts, source,
  unnest(from_json(body, 'shape'))
FROM live

-- name: live_decision
-- What holds nothing was left out when it was stored.
SELECT * REPLACE (
  list_transform(
    from_json(candidates, 'shape'),
    lambda c: struct_pack(
      action_id := c.action_id, removed_by := c.removed_by, response_probability := c.response_probability,
      expected_value := c.expected_value, cost := coalesce(c.cost, 0), choice_probability := coalesce(c.choice_probability, 0),
      spread := coalesce(c.spread, 0)
    )
  ) AS candidates
) FROM live

-- name: canonical
SELECT t.* REPLACE (coalesce(m.into_id, t.subject_id) AS subject_id)
FROM source AS t LEFT JOIN merge_map AS m ON m.from_id = t.subject_id

-- name: canonical_links
SELECT t.* REPLACE (coalesce(m.into_id, t.subject_id) AS subject_id, coalesce(n.into_id, t.to_subject_id) AS to_subject_id)
FROM source AS t
LEFT JOIN merge_map AS m ON m.from_id = t.subject_id
LEFT JOIN merge_map AS n ON n.from_id = t.to_subject_id

-- name: latest_value
SELECT
  struct_extract(
    max(struct_pack(k := moment, v := value)) FILTER (WHERE value IS NOT NULL), 'v'
  ) AS value
FROM history

-- name: described
-- An event without a category has that of its product: the last that was valid when it happened, never a later one.
-- Several states of one moment count as in `items`: the greatest value.
SELECT e.* REPLACE (
  CASE
    WHEN e.category IS NOT NULL THEN e.category
    WHEN i.dated IS NULL THEN i.always
    ELSE coalesce(struct_extract(list_max(list_filter(i.dated, lambda s: s.k <= e.ts)), 'v'), i.always)
  END AS category
)
FROM source AS e LEFT JOIN (
  SELECT
    item_id, max(category) FILTER (WHERE valid_from IS NULL) AS always,
    list(struct_pack(k := valid_from, v := category)) FILTER (WHERE valid_from IS NOT NULL) AS dated
  FROM items_history WHERE category IS NOT NULL GROUP BY item_id
) AS i ON i.item_id = CASE WHEN e.category IS NULL THEN e.product_id END

-- name: candidates
SELECT
  decision_id, play, mode, arm, subject_id, ts, action_id AS chosen, action_id = candidate.action_id AS is_chosen,
  candidate.action_id AS action_id, candidate.removed_by AS removed_by,
  candidate.response_probability AS response_probability, candidate.expected_value AS expected_value,
  candidate.cost AS cost, candidate.choice_probability AS choice_probability,
  candidate.spread AS spread
FROM (SELECT * EXCLUDE (candidates), unnest(candidates) AS candidate FROM decisions)

-- name: predictions
SELECT subject_id, recipe, model_id, as_of, ts, prediction.key AS name, prediction.value AS value
FROM (SELECT *, unnest(map_entries(from_json(body, '"MAP(VARCHAR,DOUBLE)"'))) AS prediction FROM live)
