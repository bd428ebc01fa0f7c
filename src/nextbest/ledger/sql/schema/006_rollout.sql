-- How far each play is rolled out, and which model of each recipe serves.

-- One row is one step of one play, with what was known when it was taken; the latest counts.
CREATE TABLE rollout (
  step_id TEXT PRIMARY KEY, play TEXT NOT NULL, stage TEXT NOT NULL, share REAL NOT NULL, why TEXT NOT NULL,
  evidence TEXT NOT NULL, ts INTEGER NOT NULL
) STRICT;
CREATE INDEX rollout_play ON rollout (play);

-- One row says that from then on one model serves for its recipe; the latest counts.
CREATE TABLE serving (
  serving_id TEXT PRIMARY KEY, recipe TEXT NOT NULL, model_id TEXT NOT NULL, why TEXT NOT NULL, ts INTEGER NOT NULL
) STRICT;
CREATE INDEX serving_recipe ON serving (recipe);

PRAGMA user_version = 6;
