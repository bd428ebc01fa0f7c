-- One row is what a play spent on an action in a quarter of an hour, or one amount that an action was given.

-- name: since
SELECT action_id, slot, uses, cost FROM spent WHERE play = ? AND slot >= ?;

-- name: add
INSERT INTO spent (play, action_id, slot, uses, cost) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (play, slot, action_id) DO UPDATE SET uses = uses + excluded.uses, cost = cost + excluded.cost;

-- name: newest_amount
SELECT amount FROM approved_amount WHERE play = ? AND action_id = ? ORDER BY ts DESC, rowid DESC LIMIT 1;

-- name: amount_before
SELECT amount FROM approved_amount WHERE play = ? AND action_id = ? AND ts < ? ORDER BY ts DESC, rowid DESC LIMIT 1;

-- name: first_amount
SELECT amount FROM approved_amount WHERE play = ? AND action_id = ? ORDER BY ts, rowid LIMIT 1;

-- name: approve
INSERT INTO approved_amount (amount_id, play, action_id, ts, amount, by) VALUES (?, ?, ?, ?, ?, ?);

-- name: decided
SELECT action_features, context FROM decision WHERE decision_id = ?;

-- name: last_logged
SELECT max(coalesce((SELECT ts FROM decision ORDER BY rowid DESC LIMIT 1), 0), coalesce((SELECT max(ts) FROM contact), 0),
  coalesce((SELECT ts FROM clock_mark), 0));

-- name: mark_clock
INSERT INTO clock_mark (one, ts) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET ts = max(ts, excluded.ts);
