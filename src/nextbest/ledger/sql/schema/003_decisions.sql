-- A decision has a place in a slate and what described its candidates; both are NULL where it has neither. Decisions that
-- are logged together share one link of the audit chain: `chain_seq` is that link, `chain_place` the place in its list,
-- and the salt stands beside the row, so that it goes when the row goes. Older decisions have links of their own.
-- `candidates` is what `ledger/candidates.py` packs; rows from before hold JSON, byte for byte as it was vouched for.

ALTER TABLE decision RENAME TO decision_before;
DROP INDEX decision_subject;
DROP INDEX decision_play;

CREATE TABLE decision (
  decision_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, play TEXT NOT NULL, mode TEXT NOT NULL, arm TEXT NOT NULL,
  subject_id TEXT NOT NULL, ts INTEGER NOT NULL, context TEXT NOT NULL, candidates ANY NOT NULL, action_id TEXT NOT NULL,
  choice_probability REAL, seed INTEGER NOT NULL, features TEXT NOT NULL, consent_version INTEGER NOT NULL,
  policy_version TEXT NOT NULL, model_versions TEXT NOT NULL, reason TEXT NOT NULL, degraded INTEGER NOT NULL,
  latency_us INTEGER NOT NULL, position INTEGER, action_features BLOB, chain_seq INTEGER, chain_place INTEGER, salt BLOB
) STRICT;
INSERT INTO decision (rowid, decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id,
  choice_probability, seed, features, consent_version, policy_version, model_versions, reason, degraded, latency_us)
SELECT rowid, decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id,
  choice_probability, seed, features, consent_version, policy_version, model_versions, reason, degraded, latency_us
FROM decision_before ORDER BY rowid;
DROP TABLE decision_before;
CREATE INDEX decision_subject ON decision (subject_id, ts);
CREATE INDEX decision_play ON decision (play, ts);

-- One row is what one link vouches for: the salted digests of the rows of a group, 32 bytes each, in their order.
CREATE TABLE chain_group (seq INTEGER PRIMARY KEY, digests BLOB NOT NULL) STRICT;

-- One row says that the row at a place of a group was erased, as the later link of `forget_id` states.
CREATE TABLE chain_erased (
  seq INTEGER NOT NULL, place INTEGER NOT NULL, forget_id TEXT NOT NULL, PRIMARY KEY (seq, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX chain_erased_by ON chain_erased (forget_id);

PRAGMA user_version = 3;
