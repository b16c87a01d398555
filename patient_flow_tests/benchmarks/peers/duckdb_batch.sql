-- The batch job; steps are timed one by one. $lake and $out are folders. Timestamps are UTC without a zone: those with one
-- go through ICU's calendar. Reasons and flags are listed only for the rows that have some. Local dates come from dim_time.
-- step: judge
CREATE MACRO time_key(t) AS (year(t) * 1000000 + month(t) * 10000 + day(t) * 100 + hour(t))::INTEGER;
CREATE TABLE listed AS SELECT hospital_id, department, any_value(lower(department)) AS folded FROM read_parquet('$lake/departments.parquet') GROUP BY ALL;
CREATE TABLE judged AS
WITH raw AS (SELECT partition_id, sequence_number, make_timestamp(epoch_us(enqueued_at)) AS enqueued_at, body, try(decode(body)) AS text
             FROM read_parquet('$lake/bronze/patient_events/**/*.parquet', hive_partitioning=false)),
checked AS (SELECT *, coalesce(ltrim(text) LIKE '{%' AND json_valid(text), false) AS ok FROM raw),
j AS (SELECT * EXCLUDE (text, ok), ok, sha256(body) AS digest,
      CASE WHEN ok THEN json_transform(text, '{"schema_version": "VARCHAR", "event_id": "VARCHAR", "event_type": "VARCHAR", "visit_id": "VARCHAR", "event_time": "VARCHAR", "patient_id": "VARCHAR", "hospital_id": "VARCHAR", "department": "VARCHAR", "gender": "VARCHAR", "age": "DOUBLE", "arrival_time": "VARCHAR", "triage_time": "VARCHAR", "admission_time": "VARCHAR", "discharge_time": "VARCHAR", "wait_minutes": "DOUBLE", "bed_id": "VARCHAR", "discharge_status": "VARCHAR"}') END AS e FROM checked),
parsed AS (SELECT partition_id, sequence_number, enqueued_at, body, digest, ok,
  coalesce(e.schema_version, '1') AS schema_version, e.event_id AS given_id, lower(coalesce(trim(e.event_type), 'visit_snapshot')) AS event_type,
  nullif(trim(e.visit_id), '') AS visit_id, nullif(trim(e.patient_id), '') AS patient_id, nullif(trim(e.hospital_id), '') AS hospital_id,
  nullif(trim(e.department), '') AS department, e.gender AS stated_gender, e.age AS stated_age, e.wait_minutes AS stated_wait,
  nullif(trim(e.bed_id), '') AS bed_id, lower(e.discharge_status) AS discharge_status,
  try_cast(e.event_time AS TIMESTAMP) AS stated_time, try_cast(e.admission_time AS TIMESTAMP) AS admission_time,
  try_cast(e.arrival_time AS TIMESTAMP) AS arrival_time, try_cast(e.triage_time AS TIMESTAMP) AS triage_time,
  try_cast(e.discharge_time AS TIMESTAMP) AS discharge_time
FROM j),
t AS (SELECT * EXCLUDE (department, visit_id, stated_gender, stated_age, stated_wait),
  CASE WHEN event_type = 'visit_snapshot' THEN coalesce(stated_time, admission_time) ELSE stated_time END AS event_time,
  coalesce(l.department, p.department) AS department, l.department IS NOT NULL AS is_listed,
  CASE WHEN event_type = 'visit_snapshot' THEN coalesce(visit_id, concat_ws('|', 'derived', p.hospital_id, patient_id, epoch_us(admission_time))) ELSE visit_id END AS visit_id,
  coalesce(given_id, digest) AS event_id,
  CASE lower(stated_gender) WHEN 'female' THEN 'Female' WHEN 'f' THEN 'Female' WHEN 'male' THEN 'Male' WHEN 'm' THEN 'Male' WHEN 'other' THEN 'Other'
       WHEN 'unknown' THEN 'Unknown' ELSE CASE WHEN stated_gender IS NOT NULL THEN 'Unknown' END END AS gender,
  CASE WHEN stated_age BETWEEN 0 AND 120 THEN stated_age::SMALLINT END AS age, stated_age, stated_gender,
  CASE WHEN stated_wait BETWEEN 0 AND 10080 THEN stated_wait END AS wait_minutes, stated_wait
  FROM parsed p LEFT JOIN listed l ON p.hospital_id = l.hospital_id AND lower(p.department) = l.folded)
SELECT * EXCLUDE (stated_age, stated_gender, stated_wait),
  CASE WHEN (NOT ok)
    OR (ok AND schema_version <> '1' AND NOT regexp_matches(schema_version, '^1(\\.[0-9]+)*$'))
    OR (ok AND event_type NOT IN ('arrival','triage','admission','transfer','discharge','update','cancel_admission','cancel_transfer','cancel_discharge','visit_snapshot'))
    OR (ok AND patient_id IS NULL)
    OR (ok AND hospital_id IS NULL)
    OR (ok AND event_type <> 'visit_snapshot' AND visit_id IS NULL)
    OR (ok AND event_type IN ('arrival','admission','transfer','visit_snapshot') AND department IS NULL)
    OR (ok AND event_type <> 'visit_snapshot' AND event_time IS NULL)
    OR (ok AND event_type = 'visit_snapshot' AND admission_time IS NULL)
    OR (stated_time > enqueued_at + INTERVAL 5 MINUTE)
    OR (arrival_time > enqueued_at + INTERVAL 5 MINUTE)
    OR (triage_time > enqueued_at + INTERVAL 5 MINUTE)
    OR (admission_time > enqueued_at + INTERVAL 5 MINUTE)
    OR (event_type = 'discharge' AND discharge_time > enqueued_at + INTERVAL 5 MINUTE)
    OR (coalesce(discharge_time, CASE WHEN event_type = 'discharge' THEN event_time END) < admission_time)
  THEN list_filter([
    CASE WHEN NOT ok THEN 'body_is_not_a_json_object' END,
    CASE WHEN ok AND schema_version <> '1' AND NOT regexp_matches(schema_version, '^1(\\.[0-9]+)*$') THEN 'schema_version_is_unsupported' END,
    CASE WHEN ok AND event_type NOT IN ('arrival','triage','admission','transfer','discharge','update','cancel_admission','cancel_transfer','cancel_discharge','visit_snapshot') THEN 'event_type_is_unknown' END,
    CASE WHEN ok AND patient_id IS NULL THEN 'patient_is_missing' END,
    CASE WHEN ok AND hospital_id IS NULL THEN 'hospital_is_missing' END,
    CASE WHEN ok AND event_type <> 'visit_snapshot' AND visit_id IS NULL THEN 'visit_is_missing' END,
    CASE WHEN ok AND event_type IN ('arrival','admission','transfer','visit_snapshot') AND department IS NULL THEN 'department_is_missing' END,
    CASE WHEN ok AND event_type <> 'visit_snapshot' AND event_time IS NULL THEN 'event_time_is_unusable' END,
    CASE WHEN ok AND event_type = 'visit_snapshot' AND admission_time IS NULL THEN 'admission_time_is_unusable' END,
    CASE WHEN stated_time > enqueued_at + INTERVAL 5 MINUTE THEN 'event_is_in_the_future' END,
    CASE WHEN arrival_time > enqueued_at + INTERVAL 5 MINUTE THEN 'arrival_is_in_the_future' END,
    CASE WHEN triage_time > enqueued_at + INTERVAL 5 MINUTE THEN 'triage_is_in_the_future' END,
    CASE WHEN admission_time > enqueued_at + INTERVAL 5 MINUTE THEN 'admission_is_in_the_future' END,
    CASE WHEN event_type = 'discharge' AND discharge_time > enqueued_at + INTERVAL 5 MINUTE THEN 'discharge_is_in_the_future' END,
    CASE WHEN coalesce(discharge_time, CASE WHEN event_type = 'discharge' THEN event_time END) < admission_time THEN 'discharge_precedes_admission' END
  ], lambda x: x IS NOT NULL) ELSE [] END AS reasons, reasons = [] AS is_valid,
  CASE WHEN (stated_age IS NOT NULL AND age IS NULL)
    OR (gender = 'Unknown' AND lower(stated_gender) <> 'unknown')
    OR (stated_wait IS NOT NULL AND wait_minutes IS NULL)
    OR (department IS NOT NULL AND NOT is_listed)
  THEN list_filter([
    CASE WHEN stated_age IS NOT NULL AND age IS NULL THEN 'age_is_out_of_range' END,
    CASE WHEN gender = 'Unknown' AND lower(stated_gender) <> 'unknown' THEN 'gender_is_unknown' END,
    CASE WHEN stated_wait IS NOT NULL AND wait_minutes IS NULL THEN 'wait_is_out_of_range' END,
    CASE WHEN department IS NOT NULL AND NOT is_listed THEN 'department_is_not_listed' END
  ], lambda x: x IS NOT NULL) ELSE [] END AS quality_flags
FROM t;

-- step: accept
CREATE TABLE losers AS
WITH shared AS (SELECT event_id, event_time FROM judged WHERE is_valid GROUP BY ALL HAVING count(*) > 1),
ranked AS (SELECT partition_id, sequence_number, event_type, digest, first_value(digest) OVER w AS first_digest, row_number() OVER w AS n
  FROM judged SEMI JOIN shared USING (event_id, event_time) WHERE is_valid WINDOW w AS (PARTITION BY event_id, event_time ORDER BY enqueued_at, partition_id, sequence_number))
SELECT partition_id, sequence_number, digest = first_digest AND event_type = 'visit_snapshot' AS is_repeated,
  CASE WHEN digest = first_digest THEN ['event_is_a_duplicate'] ELSE ['event_id_is_reused'] END AS why FROM ranked WHERE n > 1;
CREATE TABLE quarantine AS SELECT j.partition_id, j.sequence_number, enqueued_at, body, coalesce(why, reasons) AS reasons, hospital_id, now() AS rejected_at
  FROM judged j LEFT JOIN losers l USING (partition_id, sequence_number) WHERE (NOT is_valid OR why IS NOT NULL) AND NOT coalesce(is_repeated, false);
CREATE TABLE ignored AS SELECT partition_id, sequence_number, enqueued_at, hospital_id, 'already_received' AS name
  FROM judged j JOIN losers l USING (partition_id, sequence_number) WHERE is_repeated;
CREATE TABLE silver AS SELECT j.* EXCLUDE (body, ok, given_id, stated_time, is_listed, reasons, is_valid, patient_id, visit_id, digest),
  left(sha256('benchmark' || 'patient' || patient_id), 32) AS patient_id, left(sha256('benchmark' || 'visit' || visit_id), 32) AS visit_id,
  hash(digest) >> 1 AS body_hash, strftime(event_time, '%Y-%m') AS event_month,
  list_position(['arrival','triage','admission','transfer','discharge','update','cancel_admission','cancel_transfer','cancel_discharge','visit_snapshot'], event_type) AS rank,
  CASE WHEN event_type = 'visit_snapshot' THEN enqueued_at END AS hub_time
  FROM judged j ANTI JOIN losers l USING (partition_id, sequence_number) WHERE is_valid;
DROP TABLE judged;

-- step: write_silver
COPY (SELECT * EXCLUDE (rank, hub_time) FROM silver) TO '$out/silver.parquet';
COPY quarantine TO '$out/quarantine.parquet';
COPY ignored TO '$out/ignored.parquet';

-- step: dimensions
CREATE TABLE dim_department AS
WITH ref AS (SELECT hospital_id, hospital_name, department, staffed_beds, staff, expected_los_hours, make_timestamp(epoch_us(valid_from::TIMESTAMPTZ)) AS valid_from, false AS is_inferred FROM read_parquet('$lake/departments.parquet')),
al AS (SELECT * FROM ref UNION ALL BY NAME
  SELECT DISTINCT s.hospital_id, n.hospital_name, s.department, TIMESTAMP '1970-01-01' AS valid_from, true AS is_inferred
  FROM silver s ANTI JOIN ref r ON s.hospital_id = r.hospital_id AND s.department = r.department LEFT JOIN (SELECT hospital_id, any_value(hospital_name) AS hospital_name FROM ref GROUP BY 1) n ON n.hospital_id = s.hospital_id
  WHERE s.department IS NOT NULL)
SELECT *, hash(hospital_id, department, valid_from) >> 1 AS department_key,
  lead(valid_from) OVER (PARTITION BY hospital_id, department ORDER BY valid_from) AS valid_to FROM al;
CREATE TABLE dim_patient AS
WITH o AS (SELECT patient_id, event_time, rank, hub_time, event_id,
     last_value(gender IGNORE NULLS) OVER w AS gender, last_value(age IGNORE NULLS) OVER w AS age,
     row_number() OVER (PARTITION BY patient_id, event_time ORDER BY rank DESC, hub_time DESC, event_id DESC) AS n
     FROM silver WINDOW w AS (PARTITION BY patient_id ORDER BY event_time, rank, hub_time, event_id)),
ch AS (SELECT patient_id, event_time, coalesce(gender, 'Unknown') AS gender, age FROM o WHERE n = 1
     WINDOW p AS (PARTITION BY patient_id ORDER BY event_time)
     QUALIFY lag(event_time) OVER p IS NULL OR lag(coalesce(gender, 'Unknown')) OVER p IS DISTINCT FROM coalesce(gender, 'Unknown') OR lag(age) OVER p IS DISTINCT FROM age)
SELECT hash(patient_id, event_time) >> 1 AS patient_key, patient_id, gender, age,
  CASE WHEN age IS NULL THEN 'Unknown' WHEN age < 18 THEN '0-17' WHEN age < 40 THEN '18-39' WHEN age < 65 THEN '40-64' ELSE '65+' END AS age_band,
  event_time AS valid_from, lead(event_time) OVER (PARTITION BY patient_id ORDER BY event_time) AS valid_to FROM ch;
CREATE TABLE dim_time AS SELECT time_key(h) AS time_key, h AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Paris' AS local FROM
  generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2030-12-31 23:00', INTERVAL 1 HOUR) g(h);

-- step: stays
CREATE TABLE stays AS
WITH ev AS (SELECT *, event_type IN ('admission','transfer','visit_snapshot') AS is_placing FROM silver),
n AS (SELECT *, sum(is_placing::INT) OVER w AS placement, row_number() OVER w AS position FROM ev WINDOW w AS (PARTITION BY visit_id ORDER BY event_time, rank, hub_time, event_id ROWS UNBOUNDED PRECEDING)),
p AS (SELECT visit_id, placement, max(hospital_id) FILTER (is_placing) AS hospital_id, max(department) FILTER (is_placing) AS department,
   bool_or(event_type IN ('admission','visit_snapshot')) AS is_admission,
   max(CASE WHEN event_type = 'transfer' THEN event_time ELSE coalesce(admission_time, event_time) END) FILTER (is_placing) AS began_at,
   arg_max(coalesce(discharge_time, event_time), event_time) FILTER (event_type = 'discharge') AS discharged_at,
   arg_max(bed_id, position) FILTER (bed_id IS NOT NULL) AS bed_id
   FROM n WHERE placement > 0 GROUP BY visit_id, placement),
m AS (SELECT *, (lag(department) OVER w IS NULL OR department <> lag(department) OVER w OR lag(discharged_at) OVER w IS NOT NULL) AS begins FROM p WINDOW w AS (PARTITION BY visit_id ORDER BY placement)),
k AS (SELECT *, sum(begins::INT) OVER (PARTITION BY visit_id ORDER BY placement ROWS UNBOUNDED PRECEDING) AS stay_number FROM m),
s AS (SELECT visit_id, stay_number, arg_min(hospital_id, placement) AS hospital_id, arg_min(department, placement) AS department, arg_min(is_admission, placement) AS is_admission,
   arg_min(began_at, placement) AS admission_at, arg_max(discharged_at, placement) AS discharged_at, arg_max(bed_id, placement) FILTER (bed_id IS NOT NULL) AS bed_id FROM k GROUP BY 1, 2),
v AS (SELECT visit_id, any_value(patient_id) AS patient_id, max(coalesce(arrival_time, CASE WHEN event_type = 'arrival' THEN event_time END)) AS arrival_at, max(enqueued_at) AS last_enqueued_at, max(event_time) AS last_at,
   arg_max(wait_minutes, event_time) FILTER (wait_minutes IS NOT NULL) AS reported_wait,
   arg_max(discharge_time, event_time) FILTER (event_type IN ('update','visit_snapshot')) AS planned_at, arg_max(discharge_status, event_time) FILTER (discharge_status IS NOT NULL) AS status,
   coalesce(list_sort(list_distinct(flatten(list(quality_flags) FILTER (len(quality_flags) > 0)))), []) AS quality_flags FROM silver GROUP BY 1),
x AS (SELECT s.*, v.* EXCLUDE (visit_id), lead(admission_at) OVER w AS next_at, lead(stay_number) OVER w IS NULL AS is_last,
   CASE WHEN lag(discharged_at) OVER w IS NULL THEN lag(department) OVER w END AS from_department, first_value(admission_at) OVER w AS first_admission_at, first_value(is_admission) OVER w AS starts_with_admission
   FROM s JOIN v USING (visit_id) WINDOW w AS (PARTITION BY visit_id ORDER BY stay_number)),
y AS (SELECT *, least(CASE WHEN is_last THEN coalesce(discharged_at, CASE WHEN planned_at >= admission_at THEN planned_at END) ELSE discharged_at END, next_at) AS stated_end FROM x),
placed AS (SELECT patient_id, admission_at AS elsewhere FROM x),
z AS (SELECT y.*, elsewhere FROM y ASOF LEFT JOIN placed ON y.patient_id = placed.patient_id AND y.last_at < placed.elsewhere)
SELECT visit_id, patient_id, hospital_id, department, from_department, stay_number, arrival_at, admission_at, greatest(stated_end, CASE WHEN stated_end IS NOT NULL THEN admission_at END) AS discharge_at,
   stay_number = 1 AND is_admission AS is_visit_start, is_last AND stated_end IS NOT NULL AS is_visit_end,
   CASE WHEN stay_number = 1 AND is_admission THEN coalesce(reported_wait, CASE WHEN (epoch_us(admission_at) - epoch_us(arrival_at)) / 6e7 BETWEEN 0 AND 10080 THEN (epoch_us(admission_at) - epoch_us(arrival_at)) / 6e7 END) END AS wait_minutes,
   (epoch_us(greatest(stated_end, admission_at)) - epoch_us(admission_at)) / 3.6e9 * CASE WHEN stated_end IS NULL THEN NULL ELSE 1 END AS length_of_stay_hours,
   CASE WHEN is_last AND stated_end IS NOT NULL AND starts_with_admission THEN (epoch_us(stated_end) - epoch_us(first_admission_at)) / 3.6e9 END AS visit_length_of_stay_hours,
   bed_id, CASE WHEN is_last AND stated_end IS NOT NULL THEN status END AS discharge_status, quality_flags, last_enqueued_at,
   -- an open stay counts while it is confirmed: for 90 days or up to its plan, and until the patient is placed elsewhere
   CASE WHEN is_last AND discharged_at IS NULL
     THEN least(coalesce(stated_end, last_at + INTERVAL 90 DAY), elsewhere) ELSE stated_end END AS census_end FROM z;

-- step: fact
CREATE TABLE fact AS
WITH fv AS (SELECT patient_id, arg_min(patient_key, valid_from) AS first_key, arg_min(gender, valid_from) AS first_gender FROM dim_patient GROUP BY 1),
fd AS (SELECT hospital_id, department, arg_min(department_key, valid_from) AS first_key FROM dim_department GROUP BY 1, 2)
SELECT hash(s.visit_id, stay_number) >> 1 AS stay_key, s.* EXCLUDE (patient_id, hospital_id, department, from_department),
  coalesce(p.patient_key, fv.first_key, 0) AS patient_key, coalesce(p.gender, fv.first_gender, 'Unknown') AS gender,
  coalesce(d.department_key, fd.first_key, 0) AS department_key, coalesce(o.department_key, 0) AS from_department_key,
  time_key(arrival_at) AS arrival_time_key, time_key(admission_at) AS admission_time_key, time_key(discharge_at) AS discharge_time_key
FROM stays s
ASOF LEFT JOIN dim_patient p ON s.patient_id = p.patient_id AND s.admission_at >= p.valid_from
LEFT JOIN fv ON fv.patient_id = s.patient_id
ASOF LEFT JOIN dim_department d ON s.hospital_id = d.hospital_id AND s.department = d.department AND s.admission_at >= d.valid_from
LEFT JOIN fd ON fd.hospital_id = s.hospital_id AND fd.department = s.department
ASOF LEFT JOIN dim_department o ON s.hospital_id = o.hospital_id AND s.from_department = o.department AND s.admission_at >= o.valid_from;

-- step: census_kpi
CREATE TABLE census AS
WITH u AS (SELECT max(enqueued_at) AS until FROM silver),
sp AS (SELECT department_key, gender, date_trunc('hour', admission_at + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND) AS first,
   least(coalesce(date_trunc('hour', census_end + INTERVAL 1 HOUR - INTERVAL 1 MICROSECOND), date_trunc('hour', until) + INTERVAL 1 HOUR), date_trunc('hour', until) + INTERVAL 1 HOUR) AS e FROM fact, u),
d AS (SELECT department_key, gender, hour, sum(w) AS w FROM (SELECT department_key, gender, first AS hour, 1 AS w FROM sp WHERE first < e UNION ALL SELECT department_key, gender, e, -1 FROM sp WHERE first < e) GROUP BY ALL),
cs AS (SELECT department_key, gender, hour, sum(w) OVER o AS beds, lead(hour) OVER o AS next FROM d WINDOW o AS (PARTITION BY department_key, gender ORDER BY hour)),
h AS (SELECT department_key, gender, beds, unnest(generate_series(hour, next - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS hour FROM cs WHERE beds <> 0)
SELECT time_key(hour) AS time_key, department_key, gender, beds AS occupied_beds, hour FROM h;
CREATE TABLE kpi AS
WITH t AS (SELECT time_key, local::DATE AS date FROM dim_time),
a AS (SELECT date, department_key, gender, count(*) FILTER (is_visit_start) AS admissions, avg(wait_minutes) AS wait_mean,
   quantile_cont(wait_minutes, [0.5, 0.9]) AS wait_quantiles FROM fact JOIN t ON time_key = admission_time_key GROUP BY ALL),
b AS (SELECT date, department_key, gender, count(*) FILTER (is_visit_end) AS discharges, sum(visit_length_of_stay_hours) AS los,
   median(visit_length_of_stay_hours) AS los_median FROM fact JOIN t ON time_key = discharge_time_key GROUP BY ALL),
o AS (SELECT date, department_key, gender, sum(occupied_beds) AS bed_hours FROM census JOIN t USING (time_key) GROUP BY ALL)
SELECT * FROM a FULL JOIN b USING (date, department_key, gender) FULL JOIN o USING (date, department_key, gender);

-- step: write_gold
COPY dim_department TO '$out/dim_department.parquet';
COPY dim_patient TO '$out/dim_patient.parquet';
COPY dim_time TO '$out/dim_time.parquet';
COPY fact TO '$out/fact.parquet';
COPY census TO '$out/census.parquet';
COPY kpi TO '$out/kpi.parquet';
