-- The first schema of the journal. Each table's comment says what one row means.
-- Times are integer microseconds UTC; booleans are 0 or 1; JSON is text. Rows are appended; only `erase` deletes.

-- One row is one counter; `consent` moves with everything that may change a permission.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('consent', 0);

-- One row is one immutable Parquet file of the archive, visible since this row was committed; `path` is relative.
CREATE TABLE segment (
  segment_id TEXT PRIMARY KEY, kind TEXT NOT NULL, path TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL, min_ts INTEGER, max_ts INTEGER, source TEXT, file_digest TEXT, created_ts INTEGER NOT NULL
) STRICT;
CREATE INDEX segment_kind ON segment (kind, max_ts);

-- One row is one file that was loaded, by the digest of its bytes, so that no file counts twice.
CREATE TABLE file (
  digest TEXT PRIMARY KEY, name TEXT NOT NULL, rows_read INTEGER NOT NULL, rows_accepted INTEGER NOT NULL,
  rows_rejected INTEGER NOT NULL, rejected_path TEXT, mapping TEXT, loaded_ts INTEGER NOT NULL
) STRICT;

-- One row is one live event that is not yet in a segment; `body` holds the columns of its kind as JSON.
CREATE TABLE event (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, message_id TEXT NOT NULL, subject_id TEXT NOT NULL, subject_type TEXT,
  ts INTEGER NOT NULL, ts_offset_min INTEGER, received_ts INTEGER NOT NULL, source TEXT NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX event_subject ON event (subject_id);
CREATE INDEX event_kind ON event (kind, ts);

-- One row is one message that was taken in: keyed hashes of its id and its content, kept after compaction and erasure.
CREATE TABLE message (
  id_digest BLOB PRIMARY KEY, content_digest BLOB NOT NULL, received_ts INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row is one thing that came of a decision, or that a subject did.
CREATE TABLE outcome (
  outcome_id TEXT PRIMARY KEY, decision_id TEXT, subject_id TEXT NOT NULL, ts INTEGER NOT NULL, name TEXT NOT NULL,
  value REAL NOT NULL, source TEXT NOT NULL, received_ts INTEGER NOT NULL
) STRICT;
CREATE INDEX outcome_subject ON outcome (subject_id);
CREATE INDEX outcome_decision ON outcome (decision_id);

-- One row is one yes or no of one subject, for a purpose and a channel ('*' for all), with its proof.
CREATE TABLE consent (
  version INTEGER PRIMARY KEY, subject_id TEXT NOT NULL, purpose TEXT NOT NULL, channel TEXT NOT NULL,
  allowed INTEGER NOT NULL CHECK (allowed IN (0, 1)), ts INTEGER NOT NULL, received_ts INTEGER NOT NULL,
  proof TEXT NOT NULL, source TEXT NOT NULL
) STRICT;
CREATE INDEX consent_subject ON consent (subject_id, purpose, channel, version);

-- One row is one identity that must never be contacted, known only by its keyed hash; it survives erasure.
CREATE TABLE suppression (
  digest TEXT PRIMARY KEY, reason TEXT NOT NULL, ts INTEGER NOT NULL, version INTEGER NOT NULL
) STRICT;

-- One row is one identifier (normalised) that belongs to a subject, with its keyed hash.
CREATE TABLE identity (
  subject_id TEXT NOT NULL, identity_type TEXT NOT NULL, identity TEXT NOT NULL, digest TEXT NOT NULL, ts INTEGER NOT NULL,
  source TEXT NOT NULL, PRIMARY KEY (subject_id, identity_type, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX identity_digest ON identity (digest);

-- One row says that two ids are one subject; undone merges keep their row.
CREATE TABLE merge (
  merge_id TEXT PRIMARY KEY, from_id TEXT NOT NULL, into_id TEXT NOT NULL, why TEXT NOT NULL, ts INTEGER NOT NULL,
  undone_ts INTEGER
) STRICT;
CREATE UNIQUE INDEX merge_from ON merge (from_id) WHERE undone_ts IS NULL;
CREATE INDEX merge_into ON merge (into_id) WHERE undone_ts IS NULL;

-- One row is one erasure: the keyed hash of the subject's id, and what the receipt says.
CREATE TABLE erased (
  receipt_id TEXT PRIMARY KEY, subject_digest TEXT NOT NULL, ts INTEGER NOT NULL, receipt TEXT NOT NULL
) STRICT;
CREATE INDEX erased_subject ON erased (subject_digest);

-- One row marks one model as trained on an erased subject.
CREATE TABLE model_mark (
  model_id TEXT NOT NULL, receipt_id TEXT NOT NULL, reason TEXT NOT NULL, ts INTEGER NOT NULL,
  PRIMARY KEY (model_id, receipt_id)
) STRICT, WITHOUT ROWID;

-- One row is one decision, whole: every candidate, both probabilities, the features as served, the versions.
CREATE TABLE decision (
  decision_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, play TEXT NOT NULL, mode TEXT NOT NULL, arm TEXT NOT NULL,
  subject_id TEXT NOT NULL, ts INTEGER NOT NULL, context TEXT NOT NULL, candidates TEXT NOT NULL, action_id TEXT NOT NULL,
  choice_probability REAL, seed INTEGER NOT NULL, features TEXT NOT NULL, consent_version INTEGER NOT NULL,
  policy_version TEXT NOT NULL, model_versions TEXT NOT NULL, reason TEXT NOT NULL, degraded INTEGER NOT NULL,
  latency_us INTEGER NOT NULL
) STRICT;
CREATE INDEX decision_subject ON decision (subject_id, ts);
CREATE INDEX decision_play ON decision (play, ts);

-- One row is one live decision that contacts its subject (from the journal or a bulk segment), for the caps.
CREATE TABLE contact (
  subject_id TEXT NOT NULL, ts INTEGER NOT NULL, decision_id TEXT NOT NULL, channel TEXT NOT NULL, play TEXT NOT NULL,
  action_id TEXT NOT NULL, PRIMARY KEY (subject_id, ts, decision_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX contact_ts ON contact (ts);

-- One row is one person's judgement of one decision: approve, change (to `action_id`) or reject.
CREATE TABLE feedback (
  feedback_id TEXT PRIMARY KEY, decision_id TEXT NOT NULL, verdict TEXT NOT NULL, action_id TEXT, by TEXT NOT NULL,
  note TEXT NOT NULL, ts INTEGER NOT NULL
) STRICT;
CREATE INDEX feedback_decision ON feedback (decision_id);

-- One row is one message to be carried out, under a key that is the same at every attempt.
CREATE TABLE outbox (
  key TEXT PRIMARY KEY, decision_id TEXT NOT NULL, play TEXT NOT NULL, subject_id TEXT NOT NULL, channel TEXT NOT NULL,
  action_id TEXT NOT NULL, purpose TEXT NOT NULL, payload TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
  due_ts INTEGER NOT NULL, valid_until INTEGER, detail TEXT NOT NULL, created_ts INTEGER NOT NULL,
  changed_ts INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (channel, due_ts) WHERE status IN ('pending', 'retry', 'sending');
CREATE INDEX outbox_subject ON outbox (subject_id);

-- One row is one turn of the kill switch for a play, a channel and an action ('*' for all); the latest counts.
CREATE TABLE switch (
  switch_id TEXT PRIMARY KEY, play TEXT NOT NULL, channel TEXT NOT NULL, action TEXT NOT NULL,
  stopped INTEGER NOT NULL CHECK (stopped IN (0, 1)), why TEXT NOT NULL, ts INTEGER NOT NULL
) STRICT;

-- One row is the publication of one recipe's predictions that serving reads now.
CREATE TABLE publication (
  recipe TEXT PRIMARY KEY, generation TEXT NOT NULL, model_id TEXT NOT NULL, as_of INTEGER NOT NULL, ts INTEGER NOT NULL
) STRICT;

-- One row is one subject's predictions by one recipe; only rows of the current generation count.
CREATE TABLE published (
  subject_id TEXT NOT NULL, recipe TEXT NOT NULL, generation TEXT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (subject_id, recipe, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX published_generation ON published (generation);

-- One row is one API key, known only by its hash.
CREATE TABLE key (
  key_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, created_ts INTEGER NOT NULL,
  expires_ts INTEGER
) STRICT;

-- One row is the end of one API key.
CREATE TABLE key_revoked (key_id TEXT PRIMARY KEY REFERENCES key (key_id), ts INTEGER NOT NULL) STRICT;

-- One row is when one API key was last used, to the minute.
CREATE TABLE key_used (key_id TEXT PRIMARY KEY REFERENCES key (key_id), ts INTEGER NOT NULL) STRICT;

-- One row is one reply that a repeated request gets again.
CREATE TABLE idempotency (
  key TEXT PRIMARY KEY, body_digest TEXT NOT NULL, reply BLOB NOT NULL, subject_id TEXT, ts INTEGER NOT NULL
) STRICT;
CREATE INDEX idempotency_ts ON idempotency (ts);
CREATE INDEX idempotency_subject ON idempotency (subject_id);

-- One row is one state of nextbest.toml, by its hash.
CREATE TABLE config_change (config_id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, ts INTEGER NOT NULL) STRICT;

-- One row is one link of the audit chain: link = SHA-256(previous link || digest of the salted row).
CREATE TABLE chain_link (
  seq INTEGER PRIMARY KEY, what TEXT NOT NULL, ref TEXT NOT NULL, digest BLOB NOT NULL, link BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX chain_ref ON chain_link (what, ref);

-- One row is the salt of one link; erasing a row erases its salt, and the digest says nothing any more.
CREATE TABLE chain_salt (seq INTEGER PRIMARY KEY, salt BLOB NOT NULL) STRICT;

-- One row says that the row of link `seq` was erased, as the later link of `forget_id` states.
CREATE TABLE chain_forgotten (seq INTEGER PRIMARY KEY, forget_id TEXT NOT NULL) STRICT;
CREATE INDEX chain_forgotten_by ON chain_forgotten (forget_id);

PRAGMA user_version = 1;
