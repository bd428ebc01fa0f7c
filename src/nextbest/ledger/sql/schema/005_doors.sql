-- What the doors need: tokens, limits, links.

PRAGMA user_version = 5;
