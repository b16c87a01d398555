-- The batch job in Spark SQL; spark_batch.py says what table, cache, write, view and drop mean.

-- view: listed
SELECT hospital_id, department, first(lower(department)) AS folded FROM ref GROUP BY 1, 2

-- view: parsed
WITH raw AS (SELECT partition_id, sequence_number, enqueued_at, body, try_validate_utf8(cast(body AS string)) AS text FROM bronze)
SELECT partition_id, sequence_number, enqueued_at, body, text, sha2(body, 256) AS digest,
  from_json(text, 'schema_version string, event_id string, event_type string, visit_id string, event_time string, patient_id string,
    hospital_id string, department string, gender string, age double, arrival_time string, triage_time string, admission_time string,
    discharge_time string, wait_minutes double, bed_id string, discharge_status string, _bad string',
    map('mode', 'PERMISSIVE', 'columnNameOfCorruptRecord', '_bad')) AS e FROM raw

-- cache: judged_all
WITH p AS (SELECT partition_id, sequence_number, enqueued_at, body, digest,
  (e IS NOT NULL AND e._bad IS NULL AND trim(text) LIKE '{%' AND trim(text) LIKE '%}' AND text NOT LIKE '%}{%' AND text NOT LIKE '%},{%') AS ok, e FROM parsed),
q AS (SELECT partition_id, sequence_number, enqueued_at, body, digest, ok, coalesce(e.schema_version, '1') AS schema_version, e.event_id AS given_id,
  lower(coalesce(trim(e.event_type), 'visit_snapshot')) AS event_type, nullif(trim(e.visit_id), '') AS visit_id0, nullif(trim(e.patient_id), '') AS patient_id, nullif(trim(e.hospital_id), '') AS hospital_id,
  nullif(trim(e.department), '') AS department0, e.gender AS stated_gender, e.age AS stated_age, e.wait_minutes AS stated_wait, nullif(trim(e.bed_id), '') AS bed_id, lower(e.discharge_status) AS discharge_status,
  cast(e.event_time AS timestamp) AS stated_time, cast(e.admission_time AS timestamp) AS admission_time, cast(e.arrival_time AS timestamp) AS arrival_time, cast(e.triage_time AS timestamp) AS triage_time, cast(e.discharge_time AS timestamp) AS discharge_time FROM p),
t AS (SELECT q.*, CASE WHEN event_type = 'visit_snapshot' THEN coalesce(stated_time, admission_time) ELSE stated_time END AS event_time,
  coalesce(l.department, department0) AS department, l.department IS NOT NULL AS is_listed,
  CASE WHEN event_type = 'visit_snapshot' THEN coalesce(visit_id0, concat_ws('|', 'derived', q.hospital_id, patient_id, cast(unix_micros(admission_time) AS string))) ELSE visit_id0 END AS visit_id,
  coalesce(given_id, digest) AS event_id,
  CASE WHEN lower(stated_gender) IN ('female','f') THEN 'Female' WHEN lower(stated_gender) IN ('male','m') THEN 'Male' WHEN lower(stated_gender) = 'other' THEN 'Other' WHEN stated_gender IS NOT NULL THEN 'Unknown' END AS gender,
  CASE WHEN stated_age BETWEEN 0 AND 120 THEN cast(stated_age AS smallint) END AS age, CASE WHEN stated_wait BETWEEN 0 AND 10080 THEN stated_wait END AS wait_minutes
  FROM q LEFT JOIN (SELECT * FROM listed) l ON q.hospital_id = l.hospital_id AND lower(department0) = l.folded)
SELECT *, array_compact(array(
    CASE WHEN NOT ok THEN 'body_is_not_a_json_object' END,
    CASE WHEN ok AND NOT schema_version RLIKE '^1(\\.[0-9]+)*$' THEN 'schema_version_is_unsupported' END,
    CASE WHEN ok AND event_type NOT IN ('arrival','triage','admission','transfer','discharge','update','cancel_admission','cancel_transfer','cancel_discharge','visit_snapshot') THEN 'event_type_is_unknown' END,
    CASE WHEN ok AND patient_id IS NULL THEN 'patient_is_missing' END, CASE WHEN ok AND hospital_id IS NULL THEN 'hospital_is_missing' END,
    CASE WHEN ok AND event_type <> 'visit_snapshot' AND visit_id IS NULL THEN 'visit_is_missing' END,
    CASE WHEN ok AND event_type IN ('arrival','admission','transfer','visit_snapshot') AND department IS NULL THEN 'department_is_missing' END,
    CASE WHEN ok AND event_type <> 'visit_snapshot' AND event_time IS NULL THEN 'event_time_is_unusable' END,
    CASE WHEN ok AND event_type = 'visit_snapshot' AND admission_time IS NULL THEN 'admission_time_is_unusable' END,
    CASE WHEN stated_time > enqueued_at + INTERVAL 5 MINUTE THEN 'event_is_in_the_future' END,
    CASE WHEN admission_time > enqueued_at + INTERVAL 5 MINUTE THEN 'admission_is_in_the_future' END,
    CASE WHEN coalesce(discharge_time, CASE WHEN event_type = 'discharge' THEN event_time END) < admission_time THEN 'discharge_precedes_admission' END)) AS reasons,
  array_compact(array(CASE WHEN stated_age IS NOT NULL AND age IS NULL THEN 'age_is_out_of_range' END,
    CASE WHEN gender = 'Unknown' AND lower(stated_gender) <> 'unknown' THEN 'gender_is_unknown' END,
    CASE WHEN stated_wait IS NOT NULL AND wait_minutes IS NULL THEN 'wait_is_out_of_range' END,
    CASE WHEN department IS NOT NULL AND NOT is_listed THEN 'department_is_not_listed' END)) AS quality_flags FROM t

-- step: parse_judge

-- cache: losers
WITH s AS (SELECT event_id, event_time, min(struct(enqueued_at, partition_id, sequence_number, digest)) AS first FROM judged_all WHERE size(reasons) = 0 GROUP BY 1, 2 HAVING count(*) > 1)
SELECT j.partition_id, j.sequence_number, j.digest = s.first.digest AND event_type = 'visit_snapshot' AS is_repeated,
  CASE WHEN j.digest = s.first.digest THEN array('event_is_a_duplicate') ELSE array('event_id_is_reused') END AS why
FROM judged_all j JOIN s ON j.event_id = s.event_id AND j.event_time = s.event_time
WHERE size(reasons) = 0 AND NOT (j.partition_id = s.first.partition_id AND j.sequence_number = s.first.sequence_number)

-- write: quarantine
SELECT j.partition_id, j.sequence_number, enqueued_at, body, coalesce(why, reasons) AS reasons, hospital_id, current_timestamp() AS rejected_at
FROM judged_all j LEFT JOIN losers l ON j.partition_id = l.partition_id AND j.sequence_number = l.sequence_number WHERE (size(reasons) > 0 OR why IS NOT NULL) AND NOT coalesce(is_repeated, false)

-- write: ignored
SELECT j.partition_id, j.sequence_number, enqueued_at, hospital_id, 'already_received' AS name
FROM judged_all j JOIN losers l ON j.partition_id = l.partition_id AND j.sequence_number = l.sequence_number WHERE is_repeated

-- table: silver
SELECT j.partition_id, j.sequence_number, enqueued_at, schema_version, event_id, event_type, event_time, hospital_id, department, gender, age, arrival_time, triage_time, admission_time, discharge_time, wait_minutes, bed_id, discharge_status, quality_flags,
  left(sha2(concat('benchmark', 'patient', patient_id), 256), 32) AS patient_id, left(sha2(concat('benchmark', 'visit', visit_id), 256), 32) AS visit_id, xxhash64(digest) AS body_hash, date_format(event_time, 'yyyy-MM') AS event_month,
  array_position(array('arrival','triage','admission','transfer','discharge','update','cancel_admission','cancel_transfer','cancel_discharge','visit_snapshot'), event_type) AS rank,
  CASE WHEN event_type = 'visit_snapshot' THEN enqueued_at END AS hub_time
FROM judged_all j LEFT ANTI JOIN losers l ON j.partition_id = l.partition_id AND j.sequence_number = l.sequence_number WHERE size(reasons) = 0

-- drop: judged_all

-- drop: losers

-- step: accept_write

-- table: dim_department
WITH r AS (SELECT hospital_id, hospital_name, department, staffed_beds, staff, expected_los_hours, cast(valid_from AS timestamp) AS valid_from, false AS is_inferred FROM ref),
m AS (SELECT DISTINCT hospital_id, department FROM silver WHERE department IS NOT NULL),
al AS (SELECT * FROM r UNION ALL SELECT m.hospital_id, n.hospital_name, m.department, NULL, NULL, NULL, TIMESTAMP '1970-01-01', true FROM m LEFT ANTI JOIN r ON m.hospital_id = r.hospital_id AND m.department = r.department
  LEFT JOIN (SELECT hospital_id, first(hospital_name) AS hospital_name FROM r GROUP BY 1) n ON n.hospital_id = m.hospital_id)
SELECT *, xxhash64(hospital_id, department, valid_from) AS department_key, lead(valid_from) OVER (PARTITION BY hospital_id, department ORDER BY valid_from) AS valid_to FROM al

-- table: dim_patient
WITH o AS (SELECT patient_id, event_time, last_value(gender, true) OVER w AS gender, last_value(age, true) OVER w AS age,
     row_number() OVER (PARTITION BY patient_id, event_time ORDER BY rank DESC, hub_time DESC, event_id DESC) AS n FROM silver WINDOW w AS (PARTITION BY patient_id ORDER BY event_time, rank, hub_time, event_id ROWS UNBOUNDED PRECEDING)),
ch AS (SELECT patient_id, event_time, coalesce(gender, 'Unknown') AS gender, age, lag(event_time) OVER p AS before, lag(coalesce(gender, 'Unknown')) OVER p AS g0, lag(age) OVER p AS a0 FROM o WHERE n = 1 WINDOW p AS (PARTITION BY patient_id ORDER BY event_time))
SELECT xxhash64(patient_id, event_time) AS patient_key, patient_id, gender, age, CASE WHEN age IS NULL THEN 'Unknown' WHEN age < 18 THEN '0-17' WHEN age < 40 THEN '18-39' WHEN age < 65 THEN '40-64' ELSE '65+' END AS age_band,
  event_time AS valid_from, lead(event_time) OVER (PARTITION BY patient_id ORDER BY event_time) AS valid_to FROM ch WHERE before IS NULL OR NOT (g0 <=> gender) OR NOT (a0 <=> age)

-- write: dim_time
SELECT cast(date_format(h, 'yyyyMMddHH') AS int) AS time_key, from_utc_timestamp(h, 'Europe/Paris') AS local FROM (SELECT explode(sequence(TIMESTAMP '2020-01-01', TIMESTAMP '2030-12-31 23:00:00', INTERVAL 1 HOUR)) AS h)

-- step: dimensions

-- table: fact
WITH ev AS (SELECT *, event_type IN ('admission','transfer','visit_snapshot') AS is_placing FROM silver),
n AS (SELECT *, sum(cast(is_placing AS int)) OVER (PARTITION BY visit_id ORDER BY event_time, rank, hub_time, event_id ROWS UNBOUNDED PRECEDING) AS placement FROM ev),
p AS (SELECT visit_id, placement, max(hospital_id) FILTER (WHERE is_placing) AS hospital_id, max(department) FILTER (WHERE is_placing) AS department, bool_or(event_type IN ('admission','visit_snapshot')) AS is_admission,
   max(CASE WHEN event_type = 'transfer' THEN event_time ELSE coalesce(admission_time, event_time) END) FILTER (WHERE is_placing) AS began_at,
   max_by(coalesce(discharge_time, event_time), event_time) FILTER (WHERE event_type = 'discharge') AS discharged_at, max_by(bed_id, struct(event_time, rank)) FILTER (WHERE bed_id IS NOT NULL) AS bed_id FROM n WHERE placement > 0 GROUP BY visit_id, placement),
m AS (SELECT *, coalesce(department <> lag(department) OVER w, true) OR lag(discharged_at) OVER w IS NOT NULL AS begins FROM p WINDOW w AS (PARTITION BY visit_id ORDER BY placement)),
k AS (SELECT *, sum(cast(begins AS int)) OVER (PARTITION BY visit_id ORDER BY placement ROWS UNBOUNDED PRECEDING) AS stay_number FROM m),
s AS (SELECT visit_id, stay_number, min_by(hospital_id, placement) AS hospital_id, min_by(department, placement) AS department, min_by(is_admission, placement) AS is_admission, min_by(began_at, placement) AS admission_at,
   max_by(discharged_at, placement) AS discharged_at, max_by(bed_id, placement) AS bed_id FROM k GROUP BY 1, 2),
v AS (SELECT visit_id, first(patient_id) AS patient_id, max(coalesce(arrival_time, CASE WHEN event_type = 'arrival' THEN event_time END)) AS arrival_at, max(enqueued_at) AS last_enqueued_at, max(event_time) AS last_at, max_by(wait_minutes, event_time) FILTER (WHERE wait_minutes IS NOT NULL) AS reported_wait,
   max_by(discharge_time, event_time) FILTER (WHERE event_type IN ('update','visit_snapshot')) AS planned_at, max_by(discharge_status, event_time) FILTER (WHERE discharge_status IS NOT NULL) AS status, array_sort(array_distinct(flatten(collect_list(quality_flags)))) AS quality_flags FROM silver GROUP BY 1),
x AS (SELECT s.*, v.patient_id, v.arrival_at, v.last_enqueued_at, v.last_at, v.reported_wait, v.planned_at, v.status, v.quality_flags, lead(admission_at) OVER w AS next_at, lead(stay_number) OVER w IS NULL AS is_last,
   CASE WHEN lag(discharged_at) OVER w IS NULL THEN lag(department) OVER w END AS from_department, first_value(admission_at) OVER w AS first_admission_at, first_value(is_admission) OVER w AS starts_with_admission
   FROM s JOIN v ON s.visit_id = v.visit_id WINDOW w AS (PARTITION BY s.visit_id ORDER BY stay_number)),
y AS (SELECT *, least(CASE WHEN is_last THEN coalesce(discharged_at, CASE WHEN planned_at >= admission_at THEN planned_at END) ELSE discharged_at END, next_at) AS stated_end FROM x),
z AS (SELECT *, CASE WHEN stated_end IS NOT NULL THEN greatest(stated_end, admission_at) END AS discharge_at, stay_number = 1 AND is_admission AS is_visit_start, is_last AND stated_end IS NOT NULL AS is_visit_end, (unix_micros(admission_at) - unix_micros(arrival_at)) / 6e7D AS w FROM y),
pk AS (SELECT z.visit_id, z.stay_number, max_by(struct(d.patient_key, d.gender), d.valid_from) FILTER (WHERE d.valid_from <= z.admission_at) AS now, min_by(struct(d.patient_key, d.gender), d.valid_from) AS first FROM z JOIN dim_patient d ON z.patient_id = d.patient_id GROUP BY 1, 2),
ew AS (SELECT o.visit_id, min(i.admission_at) AS elsewhere FROM x o JOIN x i ON o.patient_id = i.patient_id AND i.admission_at > o.last_at WHERE o.is_last AND o.discharged_at IS NULL GROUP BY 1)
SELECT xxhash64(z.visit_id, z.stay_number) AS stay_key, z.visit_id, z.stay_number, arrival_at, admission_at, discharge_at, is_visit_start, is_visit_end, z.bed_id, CASE WHEN is_visit_end THEN status END AS discharge_status, quality_flags, last_enqueued_at,
  CASE WHEN is_last AND discharged_at IS NULL THEN least(coalesce(stated_end, last_at + INTERVAL 90 DAY), elsewhere) ELSE stated_end END AS census_end,
  CASE WHEN is_visit_start THEN coalesce(reported_wait, CASE WHEN w BETWEEN 0 AND 10080 THEN w END) END AS wait_minutes, (unix_micros(discharge_at) - unix_micros(admission_at)) / 3.6e9D AS length_of_stay_hours,
  CASE WHEN is_visit_end AND starts_with_admission THEN (unix_micros(discharge_at) - unix_micros(first_admission_at)) / 3.6e9D END AS visit_length_of_stay_hours,
  coalesce(pk.now.patient_key, pk.first.patient_key, 0) AS patient_key, coalesce(pk.now.gender, pk.first.gender, 'Unknown') AS gender, coalesce(d.department_key, 0) AS department_key, coalesce(o.department_key, 0) AS from_department_key,
  cast(date_format(arrival_at, 'yyyyMMddHH') AS int) AS arrival_time_key, cast(date_format(admission_at, 'yyyyMMddHH') AS int) AS admission_time_key, cast(date_format(discharge_at, 'yyyyMMddHH') AS int) AS discharge_time_key
FROM z LEFT JOIN ew ON z.visit_id = ew.visit_id LEFT JOIN pk ON z.visit_id = pk.visit_id AND z.stay_number = pk.stay_number
LEFT JOIN dim_department d ON z.hospital_id = d.hospital_id AND z.department = d.department AND z.admission_at >= d.valid_from AND (d.valid_to IS NULL OR z.admission_at < d.valid_to)
LEFT JOIN dim_department o ON z.hospital_id = o.hospital_id AND z.from_department = o.department AND z.admission_at >= o.valid_from AND (o.valid_to IS NULL OR z.admission_at < o.valid_to)

-- step: fact

-- table: census
WITH u AS (SELECT max(enqueued_at) AS until FROM silver),
sp AS (SELECT department_key, gender, date_trunc('HOUR', admission_at + INTERVAL 1 HOUR - INTERVAL '0.000001' SECOND) AS first,
   least(coalesce(date_trunc('HOUR', census_end + INTERVAL 1 HOUR - INTERVAL '0.000001' SECOND), date_trunc('HOUR', until) + INTERVAL 1 HOUR), date_trunc('HOUR', until) + INTERVAL 1 HOUR) AS e FROM fact CROSS JOIN u),
d AS (SELECT department_key, gender, hour, sum(w) AS w FROM (SELECT department_key, gender, first AS hour, 1 AS w FROM sp WHERE first < e UNION ALL SELECT department_key, gender, e, -1 FROM sp WHERE first < e) GROUP BY 1, 2, 3),
cs AS (SELECT department_key, gender, hour, sum(w) OVER o AS beds, lead(hour) OVER (PARTITION BY department_key, gender ORDER BY hour) AS next FROM d WINDOW o AS (PARTITION BY department_key, gender ORDER BY hour ROWS UNBOUNDED PRECEDING)),
h AS (SELECT department_key, gender, beds, explode(sequence(hour, next - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS hour FROM cs WHERE beds <> 0)
SELECT cast(date_format(hour, 'yyyyMMddHH') AS int) AS time_key, department_key, gender, beds AS occupied_beds, hour FROM h

-- write: kpi
WITH a AS (SELECT to_date(from_utc_timestamp(admission_at, 'Europe/Paris')) AS date, department_key, gender, count_if(is_visit_start) AS admissions, avg(wait_minutes) AS wait_mean, percentile(wait_minutes, 0.5) AS p50, percentile(wait_minutes, 0.9) AS p90 FROM fact GROUP BY 1, 2, 3),
b AS (SELECT to_date(from_utc_timestamp(discharge_at, 'Europe/Paris')) AS date, department_key, gender, count_if(is_visit_end) AS discharges, sum(visit_length_of_stay_hours) AS los, percentile(visit_length_of_stay_hours, 0.5) AS los_median FROM fact WHERE discharge_at IS NOT NULL GROUP BY 1, 2, 3),
o AS (SELECT to_date(from_utc_timestamp(hour, 'Europe/Paris')) AS date, department_key, gender, sum(occupied_beds) AS bed_hours FROM census GROUP BY 1, 2, 3)
SELECT * FROM a FULL JOIN b USING (date, department_key, gender) FULL JOIN o USING (date, department_key, gender)

-- step: census_kpi
