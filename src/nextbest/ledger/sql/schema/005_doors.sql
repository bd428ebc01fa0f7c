-- What the doors need: tokens, limits, links.

-- One row says what one API key may beside its scopes: requests per second, and for a public key the kinds of events
-- and the origins (JSON lists of texts); NULL and empty lists say nothing.
CREATE TABLE key_terms (
  key_id TEXT PRIMARY KEY REFERENCES key (key_id), rate REAL, kinds TEXT NOT NULL, origins TEXT NOT NULL
) STRICT;

-- One row is what was spent and how often an action was used in one quarter of an hour (`slot`: since 1970, UTC).
CREATE TABLE spent (
  play TEXT NOT NULL, action_id TEXT NOT NULL, slot INTEGER NOT NULL, uses INTEGER NOT NULL, cost REAL NOT NULL,
  PRIMARY KEY (play, slot, action_id)
) STRICT, WITHOUT ROWID;

-- One row is one amount (price, bid, discount) that a money action was given; the latest is the one last approved.
CREATE TABLE approved_amount (
  amount_id TEXT PRIMARY KEY, play TEXT NOT NULL, action_id TEXT NOT NULL, ts INTEGER NOT NULL, amount REAL NOT NULL,
  by TEXT NOT NULL
) STRICT;
CREATE INDEX approved_amount_action ON approved_amount (play, action_id, ts);

-- One row is one turn of an alarm of a play ('*' for all) about one thing (a check's name); the latest of each counts.
CREATE TABLE alarm (
  alarm_id TEXT PRIMARY KEY, play TEXT NOT NULL, what TEXT NOT NULL, raised INTEGER NOT NULL CHECK (raised IN (0, 1)),
  why TEXT NOT NULL, by TEXT NOT NULL, ts INTEGER NOT NULL
) STRICT;

-- The latest moment that was logged before the clock was set back, as long as nothing later has been logged.
CREATE TABLE clock_mark (one INTEGER PRIMARY KEY CHECK (one = 1), ts INTEGER NOT NULL) STRICT;

-- Whether a channel is dead: what was sent last, what failed since.
CREATE INDEX outbox_tried ON outbox (status, channel, changed_ts) WHERE status IN ('sent', 'retry', 'expired');

PRAGMA user_version = 5;
