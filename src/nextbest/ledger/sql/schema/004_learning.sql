-- What plays have learnt from outcomes, version by version.

PRAGMA user_version = 4;
