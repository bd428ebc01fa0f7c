-- One row of `segment` now says whether its file holds corrections: other values for events that were stored before.

ALTER TABLE segment ADD COLUMN corrects INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 2;
