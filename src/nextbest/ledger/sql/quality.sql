-- One row is what a rule found: how many rows it is about, and up to three examples as text.

-- name: superhuman
-- Nobody looks at sixty things in one minute, nor at two thousand in a day.
WITH fast AS (
    SELECT subject_id, count(*) AS found FROM rows_of_kind
    GROUP BY subject_id, time_bucket(INTERVAL 1 MINUTE, ts) HAVING count(*) >= 60
    UNION ALL
    SELECT subject_id, count(*) AS found FROM rows_of_kind
    GROUP BY subject_id, time_bucket(INTERVAL 1 DAY, ts) HAVING count(*) >= 2000
)
SELECT coalesce(sum(found), 0)::BIGINT AS found, list(DISTINCT subject_id)[:3] AS examples FROM fast;

-- name: days_without
-- A day without any row is strange when the days around it are full: five or more rows on the usual day.
WITH days AS (
    SELECT ts::DATE AS day, count(*) AS found FROM rows_of_kind GROUP BY day
),
span AS (
    SELECT min(day) AS first, max(day) AS last, median(found) AS usual, count(*) AS seen FROM days
),
missing AS (
    SELECT unnest(range(first::TIMESTAMP, last::TIMESTAMP + INTERVAL 1 DAY, INTERVAL 1 DAY))::DATE AS day
    FROM span WHERE usual >= 5 AND seen >= 30
),
gaps AS (
    SELECT day FROM missing ANTI JOIN days USING (day)
)
SELECT count(*) AS found, list(day::VARCHAR ORDER BY day)[:3] AS examples FROM gaps;

-- name: long_before
-- Rows from long before the rest: further below the first percentile than the whole span from there to the last.
WITH span AS (
    SELECT quantile_cont(epoch(ts), 0.01) AS low, quantile_cont(epoch(ts), 0.99) AS high, count(*) AS seen FROM rows_of_kind
)
SELECT count(*) AS found, list(r.ts::DATE::VARCHAR)[:3] AS examples
FROM rows_of_kind r, span
WHERE seen >= 100 AND epoch(r.ts) < low - greatest(high - low, 31536000);

-- name: outliers
-- Amounts far above the usual on a scale of ratios: more than six robust standard deviations (1.4826 MAD) of the log.
WITH middle AS (
    SELECT median(ln(checked)) AS centre, 1.4826 * mad(ln(checked)) AS spread, count(*) AS seen
    FROM rows_of_kind WHERE checked > 0
)
SELECT count(*) AS found, list(checked::VARCHAR ORDER BY checked DESC)[:3] AS examples
FROM rows_of_kind, middle
WHERE seen >= 100 AND spread > 0 AND checked > 0 AND ln(checked) - centre > 6 * greatest(spread, 0.1);

-- name: negative
SELECT count(*) AS found, list(checked::VARCHAR)[:3] AS examples FROM rows_of_kind WHERE checked < 0;

-- name: currencies
WITH used AS (
    SELECT upper(trim(checked)) AS word, count(*) AS found FROM rows_of_kind WHERE checked IS NOT NULL GROUP BY ALL
)
SELECT coalesce(sum(found) - max(found), 0)::BIGINT AS found, list(word ORDER BY found DESC, word)[:3] AS examples
FROM used HAVING count(*) > 1;

-- name: words
SELECT checked AS word, count(*) AS found FROM rows_of_kind WHERE checked IS NOT NULL
GROUP BY checked ORDER BY found DESC, checked LIMIT 2000;

-- name: test_email
SELECT count(*) AS found, list(subject_id)[:3] AS examples
FROM subjects
WHERE regexp_matches(lower(email), $pattern) OR split_part(lower(email), '@', 2) IN (SELECT unnest($domains));

-- name: invalid_email
SELECT count(*) AS found, list(subject_id)[:3] AS examples
FROM subjects
WHERE trim(email) <> '' AND NOT regexp_full_match(trim(email), '[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]+');

-- name: shared_address
WITH places AS (
    SELECT lower(trim(address)) AS place, trim(coalesce(zip, '')) AS zip, count(*) AS found, any_value(subject_id) AS example
    FROM subjects WHERE strlen(trim(address)) > 5 GROUP BY place, zip HAVING count(*) >= 5
)
SELECT coalesce(sum(found), 0)::BIGINT AS found, list(example)[:3] AS examples FROM places;

-- name: test_orders
SELECT count(*) AS found, list(coalesce(order_id, event_id))[:3] AS examples
FROM "order"
WHERE regexp_matches(lower(concat_ws(' ', tags, coupon, channel)), '(^|[^a-z])test([^a-z]|$)');

-- name: returned
SELECT count(*) AS found, list(coalesce(order_id, event_id))[:3] AS examples
FROM "order"
WHERE refunded > 0 OR lower(payment_status) IN ('refunded', 'partially_refunded', 'returned', 'chargeback');
