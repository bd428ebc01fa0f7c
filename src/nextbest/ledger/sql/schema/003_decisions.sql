-- A decision has a place in a slate and what described its candidates; both are NULL where it has neither. Decisions that
-- are logged together share one link of the audit chain: `chain_seq` is that link, `chain_place` the place in its list,
-- and the salt stands beside the row, so that it goes when the row goes. Older decisions have links of their own.

ALTER TABLE decision ADD COLUMN position INTEGER;
ALTER TABLE decision ADD COLUMN action_features BLOB;
ALTER TABLE decision ADD COLUMN chain_seq INTEGER;
ALTER TABLE decision ADD COLUMN chain_place INTEGER;
ALTER TABLE decision ADD COLUMN salt BLOB;

-- One row is what one link vouches for: the salted digests of the rows of a group, 32 bytes each, in their order.
CREATE TABLE chain_group (seq INTEGER PRIMARY KEY, digests BLOB NOT NULL) STRICT;

-- One row says that the row at a place of a group was erased, as the later link of `forget_id` states.
CREATE TABLE chain_erased (
  seq INTEGER NOT NULL, place INTEGER NOT NULL, forget_id TEXT NOT NULL, PRIMARY KEY (seq, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX chain_erased_by ON chain_erased (forget_id);

PRAGMA user_version = 3;
