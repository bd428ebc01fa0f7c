-- A decision has a place in a slate and the features that came with its candidates; both are NULL where it has neither.

ALTER TABLE decision ADD COLUMN position INTEGER;
ALTER TABLE decision ADD COLUMN action_features TEXT;

PRAGMA user_version = 3;
