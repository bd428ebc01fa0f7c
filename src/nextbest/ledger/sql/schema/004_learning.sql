-- What plays have learnt from outcomes, version by version.

-- One row is one state of one play's learner: sums and settings, no person's data; `cursor` says what it has learnt from.
CREATE TABLE learner_state (
  play TEXT NOT NULL, number INTEGER NOT NULL, version TEXT NOT NULL, body BLOB NOT NULL, cursor TEXT NOT NULL,
  ts INTEGER NOT NULL, PRIMARY KEY (play, number)
) STRICT, WITHOUT ROWID;

-- One row is one decision that was answered, and that its play's learner counts as answered.
CREATE TABLE learnt (
  decision_id TEXT PRIMARY KEY, play TEXT NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 4;
