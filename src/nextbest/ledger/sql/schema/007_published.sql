-- A publication says, as JSON, what its rows need to be read back exactly: `columns` with their types, which of them
-- hold NaN (`nan`), how many `rows`, and the `state` of the data that they were predicted from. NULL: they cannot be.

ALTER TABLE publication ADD COLUMN exact TEXT;

PRAGMA user_version = 7;
