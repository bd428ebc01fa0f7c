-- One row is one state of nextbest.toml, by its hash.

-- name: insert
INSERT INTO config_change (config_id, sha256, ts) VALUES (?, ?, ?);

-- name: latest
SELECT sha256 FROM config_change ORDER BY ts DESC, config_id DESC LIMIT 1;
