-- A shared row is one e-mail or phone that several subjects have; a similar row is one pair of subjects who may be one.

-- name: email_hashes
-- `trim` is slow, and few addresses have spaces around them.
SELECT hash(lower(CASE WHEN email < '!' OR ends_with(email, ' ') THEN trim(email) ELSE email END)) AS hashed FROM subjects WHERE email IS NOT NULL;

-- name: phone_hashes
-- Spelt alike, as `identities.normalise` has it: the same digits, and + for 00.
SELECT hash(replace(replace(replace(replace(replace(replace(phone, ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', '')) AS hashed FROM subjects WHERE strlen(phone) >= 7
UNION ALL
SELECT hash('+' || ltrim(replace(replace(replace(replace(replace(replace(phone, ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', ''), '0')) FROM subjects WHERE starts_with(phone, '00');

-- name: shared_email
WITH spelt AS (
    SELECT subject_id, lower(CASE WHEN email < '!' OR ends_with(email, ' ') THEN trim(email) ELSE email END) AS identity FROM subjects
    WHERE email IS NOT NULL AND hash(lower(CASE WHEN email < '!' OR ends_with(email, ' ') THEN trim(email) ELSE email END)) IN (SELECT hashed FROM met)
)
SELECT 'email' AS identity_type, identity, count(DISTINCT subject_id) AS people
FROM spelt GROUP BY identity HAVING count(DISTINCT subject_id) > 1;

-- name: shared_phone
WITH bare AS (
    SELECT subject_id, replace(replace(replace(replace(replace(replace(phone, ' ', ''), '-', ''), '.', ''), '/', ''), '(', ''), ')', '') AS spelt FROM subjects WHERE strlen(phone) >= 7
),
spelt AS (
    SELECT
        subject_id,
        CASE WHEN starts_with(spelt, '00') THEN '+' || ltrim(spelt, '0') ELSE spelt END AS identity
    FROM bare
)
SELECT 'phone' AS identity_type, identity, count(DISTINCT subject_id) AS people
FROM spelt WHERE hash(identity) IN (SELECT hashed FROM met)
GROUP BY identity HAVING count(DISTINCT subject_id) > 1;

-- name: similar
-- Pairs are sought only within blocks that share a key; a block of more than 60 says too little to be searched.
-- The weights are log-odds by judgement (Fellegi and Sunter 1969, section 2): agreement speaks for one person,
-- a difference against it, and a missing value for nothing. A household shares name and address, not birthday.
WITH person AS (
    SELECT
        subject_id,
        lower(strip_accents(trim(coalesce(first_name, '')))) AS first_name,
        lower(strip_accents(trim(coalesce(last_name, '')))) AS last_name,
        lower(strip_accents(trim(coalesce(address, '')))) AS address,
        trim(coalesce(zip, '')) AS zip,
        regexp_replace(coalesce(birthday, ''), '\D', '', 'g') AS birthday
    FROM subjects
    WHERE first_name IS NOT NULL OR last_name IS NOT NULL OR address IS NOT NULL
),
keyed AS (
    SELECT subject_id, unnest([
        CASE WHEN birthday <> '' THEN 'b' || birthday END,
        CASE WHEN zip <> '' AND last_name <> '' THEN 'z' || zip || left(last_name, 1) END,
        CASE WHEN zip <> '' AND first_name <> '' THEN 'y' || zip || left(first_name, 1) END,
        CASE WHEN last_name <> '' AND first_name <> '' THEN 'n' || least(first_name, last_name) || greatest(first_name, last_name) END,
        CASE WHEN strlen(address) > 5 THEN 'a' || address END,
        CASE WHEN strlen(last_name) > 3 THEN 'l' || last_name || left(zip, 2) END,
        CASE WHEN strlen(last_name) > 3 THEN 'm' || left(last_name, 4) || left(birthday, 4) END,
        CASE WHEN strlen(address) > 5 AND zip <> '' THEN 's' || left(address, 4) || zip END
    ]) AS block
    FROM person
),
small AS (
    SELECT block FROM keyed WHERE block IS NOT NULL GROUP BY block HAVING count(*) BETWEEN 2 AND 60
),
pairs AS (
    SELECT DISTINCT a.subject_id AS one, b.subject_id AS other
    FROM keyed a
    SEMI JOIN small ON a.block = small.block
    JOIN keyed b ON a.block = b.block AND a.subject_id < b.subject_id
),
compared AS (
    SELECT
        one,
        other,
        CASE WHEN p.first_name <> '' AND q.first_name <> '' THEN jaro_winkler_similarity(p.first_name, q.first_name) END AS first_like,
        CASE WHEN p.last_name <> '' AND q.last_name <> '' THEN jaro_winkler_similarity(p.last_name, q.last_name) END AS last_like,
        jaro_winkler_similarity(p.first_name, q.last_name) > 0.9
            AND jaro_winkler_similarity(p.last_name, q.first_name) > 0.9 AS swapped,
        CASE WHEN p.address <> '' AND q.address <> '' THEN jaro_winkler_similarity(p.address, q.address) END AS address_like,
        CASE WHEN p.zip <> '' AND q.zip <> '' THEN damerau_levenshtein(p.zip, q.zip) END AS zip_away,
        CASE WHEN p.birthday <> '' AND q.birthday <> '' THEN damerau_levenshtein(p.birthday, q.birthday) END AS birthday_away
    FROM pairs
    JOIN person p ON p.subject_id = one
    JOIN person q ON q.subject_id = other
),
weighed AS (
    SELECT
        one,
        other,
        CASE WHEN swapped OR first_like >= 0.92 THEN 2.5 WHEN first_like >= 0.8 THEN 1.0 WHEN first_like IS NULL THEN 0 ELSE -3 END
        + CASE WHEN swapped OR last_like >= 0.92 THEN 3 WHEN last_like >= 0.8 THEN 1.5 WHEN last_like IS NULL THEN 0 ELSE -1.5 END
        + CASE WHEN address_like >= 0.92 THEN 4 WHEN address_like >= 0.8 THEN 2 WHEN address_like IS NULL THEN 0 ELSE -1.5 END
        + CASE WHEN zip_away = 0 THEN 2 WHEN zip_away = 1 THEN 1 WHEN zip_away IS NULL THEN 0 ELSE -1 END
        + CASE WHEN birthday_away = 0 THEN 4 WHEN birthday_away = 1 THEN 2 WHEN birthday_away IS NULL THEN 0 ELSE -4 END
        AS weight
    FROM compared
)
SELECT one, other, weight FROM weighed WHERE weight >= $least ORDER BY weight DESC, one, other;
