CREATE TABLE "DimTime" (
    time_key BIGINT NOT NULL,
    hour_start_at TIMESTAMP(6) WITHOUT TIME ZONE,
    date DATE,
    hour SMALLINT,
    is_day_start BOOLEAN,
    day_name VARCHAR(16),
    is_weekend BOOLEAN,
    week SMALLINT,
    month SMALLINT,
    month_name VARCHAR(16),
    quarter SMALLINT,
    year SMALLINT,
    shift VARCHAR(16),
    PRIMARY KEY (time_key)
);

CREATE INDEX "ix_DimTime_date" ON "DimTime" (date);

CREATE TABLE "DimDepartment" (
    department_key BIGINT NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    hospital_name VARCHAR(128),
    department VARCHAR(64) NOT NULL,
    class VARCHAR(16),
    beds BIGINT,
    staffed_beds BIGINT,
    women_beds BIGINT,
    men_beds BIGINT,
    staff BIGINT,
    expected_los_hours FLOAT(53),
    unconfirmed_days BIGINT,
    is_inferred BOOLEAN NOT NULL,
    valid_from TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    valid_to TIMESTAMP(6) WITHOUT TIME ZONE,
    is_current BOOLEAN NOT NULL,
    PRIMARY KEY (department_key)
);

CREATE TABLE "DimPatient" (
    patient_key BIGINT NOT NULL,
    patient_id VARCHAR(64) NOT NULL,
    gender VARCHAR(16),
    age SMALLINT,
    age_band VARCHAR(16),
    valid_from TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    valid_to TIMESTAMP(6) WITHOUT TIME ZONE,
    is_current BOOLEAN NOT NULL,
    PRIMARY KEY (patient_key)
);

CREATE INDEX "ix_DimPatient_patient_id" ON "DimPatient" (patient_id);

CREATE TABLE "FactPatientFlow" (
    stay_key BIGINT NOT NULL,
    visit_id VARCHAR(64) NOT NULL,
    stay_number INTEGER NOT NULL,
    patient_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    from_department_key BIGINT NOT NULL,
    gender VARCHAR(16),
    arrival_time_key BIGINT NOT NULL,
    admission_time_key BIGINT NOT NULL,
    discharge_time_key BIGINT NOT NULL,
    arrival_at TIMESTAMP(6) WITHOUT TIME ZONE,
    admission_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    discharge_at TIMESTAMP(6) WITHOUT TIME ZONE,
    stay_kind VARCHAR(16),
    visit_class VARCHAR(16),
    admission_type VARCHAR(16),
    planned_discharge_at TIMESTAMP(6) WITHOUT TIME ZONE,
    ready_at TIMESTAMP(6) WITHOUT TIME ZONE,
    wait_minutes FLOAT(53),
    wait_source VARCHAR(16),
    length_of_stay_hours FLOAT(53),
    visit_length_of_stay_hours FLOAT(53),
    in_bed_hours FLOAT(53),
    nights BIGINT,
    is_visit_start BOOLEAN NOT NULL,
    is_visit_end BOOLEAN NOT NULL,
    is_transfer BOOLEAN NOT NULL,
    is_day_case BOOLEAN NOT NULL,
    is_observation BOOLEAN NOT NULL,
    bed_id VARCHAR(64),
    discharge_status VARCHAR(32),
    quality_flags VARCHAR(1000) NOT NULL,
    last_confirmed_at TIMESTAMP(6) WITHOUT TIME ZONE,
    confirmed_until TIMESTAMP(6) WITHOUT TIME ZONE,
    last_enqueued_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (stay_key)
);

CREATE INDEX "ix_FactPatientFlow_admission_time_key" ON "FactPatientFlow" (admission_time_key, department_key, from_department_key, gender, patient_key, admission_at, is_visit_start, wait_minutes);

CREATE INDEX "ix_FactPatientFlow_department_key" ON "FactPatientFlow" (department_key);

CREATE INDEX "ix_FactPatientFlow_discharge_at" ON "FactPatientFlow" (discharge_at);

CREATE INDEX "ix_FactPatientFlow_discharge_time_key" ON "FactPatientFlow" (discharge_time_key, department_key, gender, patient_key, bed_id, admission_at, discharge_at, length_of_stay_hours, visit_length_of_stay_hours, is_visit_end);

CREATE INDEX "ix_FactPatientFlow_patient_key" ON "FactPatientFlow" (patient_key);

CREATE INDEX "ix_FactPatientFlow_visit_id" ON "FactPatientFlow" (visit_id);

CREATE TABLE "FactEdAttendance" (
    attendance_key BIGINT NOT NULL,
    visit_id VARCHAR(64) NOT NULL,
    patient_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16),
    arrival_time_key BIGINT NOT NULL,
    departure_time_key BIGINT NOT NULL,
    arrival_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    triage_at TIMESTAMP(6) WITHOUT TIME ZONE,
    seen_at TIMESTAMP(6) WITHOUT TIME ZONE,
    decision_at TIMESTAMP(6) WITHOUT TIME ZONE,
    departure_at TIMESTAMP(6) WITHOUT TIME ZONE,
    outcome VARCHAR(32),
    minutes_to_triage FLOAT(53),
    minutes_to_seen FLOAT(53),
    minutes_in_department FLOAT(53),
    boarding_minutes FLOAT(53),
    quality_flags VARCHAR(1000) NOT NULL,
    last_confirmed_at TIMESTAMP(6) WITHOUT TIME ZONE,
    confirmed_until TIMESTAMP(6) WITHOUT TIME ZONE,
    last_enqueued_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (attendance_key)
);

CREATE TABLE "FactBedCensus" (
    time_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    occupied_beds BIGINT NOT NULL,
    PRIMARY KEY (time_key, department_key, gender)
);

CREATE TABLE "KpiDepartmentDay" (
    date DATE NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    admissions BIGINT NOT NULL,
    transfers_in BIGINT NOT NULL,
    discharges BIGINT NOT NULL,
    waits BIGINT NOT NULL,
    wait_minutes_sum FLOAT(53),
    wait_minutes_p50 FLOAT(53),
    wait_minutes_p90 FLOAT(53),
    waits_within_240 BIGINT NOT NULL,
    length_of_stay_hours_sum FLOAT(53),
    length_of_stay_hours_median FLOAT(53),
    overstays BIGINT NOT NULL,
    occupied_bed_hours BIGINT NOT NULL,
    midnight_beds BIGINT NOT NULL,
    staffed_bed_hours FLOAT(53),
    PRIMARY KEY (date, department_key, gender)
);

CREATE TABLE "DataQualityDay" (
    date DATE NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    rule VARCHAR(64) NOT NULL,
    accepted BIGINT NOT NULL,
    flagged BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    ignored BIGINT NOT NULL,
    PRIMARY KEY (date, hospital_id, rule)
);

CREATE TABLE "LoadLog" (
    table_name VARCHAR(64) NOT NULL,
    gold_version BIGINT,
    gold_table_id BIGINT,
    loaded_at TIMESTAMP(6) WITHOUT TIME ZONE,
    newest_event_at TIMESTAMP(6) WITHOUT TIME ZONE,
    lag_seconds FLOAT(53),
    rows_written BIGINT,
    run_id VARCHAR(64),
    PRIMARY KEY (table_name)
);

INSERT INTO "LoadLog" (table_name) SELECT 'DimTime' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'DimTime'));

INSERT INTO "LoadLog" (table_name) SELECT 'DimDepartment' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'DimDepartment'));

INSERT INTO "LoadLog" (table_name) SELECT 'DimPatient' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'DimPatient'));

INSERT INTO "LoadLog" (table_name) SELECT 'FactPatientFlow' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'FactPatientFlow'));

INSERT INTO "LoadLog" (table_name) SELECT 'FactEdAttendance' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'FactEdAttendance'));

INSERT INTO "LoadLog" (table_name) SELECT 'FactBedCensus' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'FactBedCensus'));

INSERT INTO "LoadLog" (table_name) SELECT 'KpiDepartmentDay' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'KpiDepartmentDay'));

INSERT INTO "LoadLog" (table_name) SELECT 'DataQualityDay' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'DataQualityDay'));

CREATE VIEW "BedOccupancyHourly" WITH (security_invoker = true) AS
SELECT
    t.time_key,
    t.hour_start_at,
    t.date,
    t.hour,
    d.hospital_id,
    d.hospital_name,
    d.department,
    CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) AS occupied_beds,
    d.staffed_beds,
    100 * CAST(COALESCE(SUM(c.occupied_beds), 0) AS FLOAT) / NULLIF(d.staffed_beds, 0) AS occupancy_pct,
    CASE WHEN t.is_day_start = TRUE THEN CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) END AS midnight_occupied_beds,
    CASE WHEN t.is_day_start = TRUE THEN d.staffed_beds END AS midnight_staffed_beds
FROM (SELECT MIN(time_key) AS time_key FROM "FactBedCensus") first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM "FactBedCensus") last_hour
JOIN "DimTime" t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN "DimDepartment" d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
LEFT JOIN "FactBedCensus" c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, t.is_day_start,
    d.hospital_id, d.hospital_name, d.department, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0;

COMMENT ON VIEW "BedOccupancyHourly" IS 'Beds occupied at the start of each hour, by department; occupancy = sum of occupied / sum of staffed beds. /* definition 097f62d5b7e6 */';

CREATE VIEW "BedOccupancyByGender" WITH (security_invoker = true) AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    g.gender,
    CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) AS occupied_bed_hours,
    CAST(SUM(d.staffed_beds) AS BIGINT) AS staffed_bed_hours,
    100 * CAST(COALESCE(SUM(c.occupied_beds), 0) AS FLOAT) / NULLIF(SUM(d.staffed_beds), 0) AS occupancy_pct,
    CAST(SUM(CASE WHEN t.is_day_start = TRUE THEN COALESCE(c.occupied_beds, 0) END) AS BIGINT) AS midnight_occupied_beds,
    CAST(SUM(CASE WHEN t.is_day_start = TRUE THEN d.staffed_beds END) AS BIGINT) AS midnight_staffed_beds,
    100 * CAST(SUM(CASE WHEN t.is_day_start = TRUE THEN COALESCE(c.occupied_beds, 0) END) AS FLOAT) / NULLIF(SUM(CASE WHEN t.is_day_start = TRUE THEN d.staffed_beds END), 0) AS midnight_occupancy_pct
FROM (SELECT MIN(time_key) AS time_key FROM "FactBedCensus") first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM "FactBedCensus") last_hour
JOIN "DimTime" t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN "DimDepartment" d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
CROSS JOIN (SELECT 'Female' AS gender UNION ALL SELECT 'Male' AS gender UNION ALL SELECT 'Other' AS gender UNION ALL SELECT 'Unknown' AS gender) g
LEFT JOIN "FactBedCensus" c
    ON c.time_key = t.time_key AND c.department_key = d.department_key AND c.gender = g.gender
GROUP BY t.date, d.hospital_id, d.department, g.gender
HAVING COUNT(d.staffed_beds) > 0 OR COUNT(c.occupied_beds) > 0;

COMMENT ON VIEW "BedOccupancyByGender" IS 'Bed hours by local date, department and gender. The staffed beds are the department''s for every gender, so that the genders'' percentages add up to the department''s: add staffed_bed_hours up for one gender only. /* definition 8c06a68d4117 */';

CREATE VIEW "AdmissionsDaily" WITH (security_invoker = true) AS
SELECT date, hospital_id, hospital_name, department, gender, admissions, transfers_in, discharges, visits
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
        department,
        gender,
        CAST(SUM(admissions) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS admissions,
        CAST(SUM(transfers_in) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS transfers_in,
        CAST(SUM(discharges) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS discharges,
        CAST(SUM(visits) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS visits,
        ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department, gender ORDER BY discharges) AS place
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name) AS hospital_name,
            d.department,
            f.gender,
            SUM(CASE WHEN f.is_visit_start = TRUE THEN 1 ELSE 0 END) AS admissions,
            SUM(CASE WHEN f.from_department_key <> 0 THEN 1 ELSE 0 END) AS transfers_in,
            0 AS discharges,
            COUNT(DISTINCT f.visit_id) AS visits
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.admission_time_key = t.time_key
        GROUP BY t.date, d.hospital_id, d.department, f.gender
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, f.gender, 0, 0, COUNT(*), 0
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) begun_and_ended
) cells
WHERE place = 1;

COMMENT ON VIEW "AdmissionsDaily" IS 'Movements by local date, department and gender; a planned discharge counts when its time has come. /* definition c40e69268a30 */';

CREATE VIEW "WaitingTimes" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    waits,
    wait_minutes_sum,
    CAST(wait_minutes_sum AS FLOAT) / NULLIF(waits, 0) AS wait_minutes_mean,
    wait_minutes_p50,
    wait_minutes_p90,
    waits_within_240,
    100 * CAST(waits_within_240 AS FLOAT) / NULLIF(waits, 0) AS within_240_pct
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
        department,
        gender,
        place,
        CAST(COUNT(*) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS waits,
        SUM(wait_minutes) OVER (PARTITION BY date, hospital_id, department, gender) AS wait_minutes_sum,
        SUM(CASE WHEN ABS(place - 0.5 * last_place) < 1 THEN wait_minutes * (1 - ABS(place - 0.5 * last_place)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS wait_minutes_p50,
        SUM(CASE WHEN ABS(place - 0.9 * last_place) < 1 THEN wait_minutes * (1 - ABS(place - 0.9 * last_place)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS wait_minutes_p90,
        CAST(SUM(CASE WHEN wait_minutes <= 240 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT)
            AS waits_within_240
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            d.hospital_name,
            d.department,
            f.gender,
            f.wait_minutes,
            ROW_NUMBER() OVER (
                PARTITION BY t.date, d.hospital_id, d.department, f.gender ORDER BY f.wait_minutes
            ) - 1 AS place,
            COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.admission_time_key = t.time_key AND f.is_visit_start = TRUE AND f.wait_minutes IS NOT NULL
    ) ranked
) cells
WHERE place = 0;

COMMENT ON VIEW "WaitingTimes" IS 'Waits from arrival to admission, of each visit''s first stay, by local date of admission, department and gender. /* definition 6bf58a5dd500 */';

CREATE VIEW "LengthOfStay" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    ended_visits,
    length_of_stay_hours_sum,
    CAST(length_of_stay_hours_sum AS FLOAT) / NULLIF(ended_visits, 0) AS length_of_stay_hours_mean,
    length_of_stay_hours_median,
    open_visits,
    current_stay_hours_sum,
    current_stay_hours_sum / NULLIF(open_visits, 0) AS current_stay_hours_mean
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
        department,
        gender,
        CAST(SUM(ended_visits) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ended_visits,
        SUM(ended_hours) OVER (PARTITION BY date, hospital_id, department, gender) AS length_of_stay_hours_sum,
        MAX(median_hours) OVER (PARTITION BY date, hospital_id, department, gender) AS length_of_stay_hours_median,
        CAST(SUM(open_visits) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS open_visits,
        SUM(open_hours) OVER (PARTITION BY date, hospital_id, department, gender) AS current_stay_hours_sum,
        ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department, gender ORDER BY open_visits) AS place
    FROM (
        SELECT
            date,
            hospital_id,
            hospital_name,
            department,
            gender,
            ended_visits,
            ended_hours,
            median_hours,
            0 AS open_visits,
            CAST(NULL AS FLOAT) AS open_hours
        FROM (
            SELECT
                date,
                hospital_id,
                MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
                department,
                gender,
                place,
                COUNT(*) OVER (PARTITION BY date, hospital_id, department, gender) AS ended_visits,
                SUM(hours) OVER (PARTITION BY date, hospital_id, department, gender) AS ended_hours,
                SUM(CASE WHEN ABS(place - 0.5 * last_place) < 1 THEN hours * (1 - ABS(place - 0.5 * last_place)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS median_hours
            FROM (
                SELECT
                    t.date,
                    d.hospital_id,
                    d.hospital_name,
                    d.department,
                    f.gender,
                    f.visit_length_of_stay_hours AS hours,
                    ROW_NUMBER() OVER (
                        PARTITION BY t.date, d.hospital_id, d.department, f.gender
                        ORDER BY f.visit_length_of_stay_hours
                    ) - 1 AS place,
                    COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
                FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
                WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE AND f.visit_length_of_stay_hours IS NOT NULL
            ) ranked
        ) ended
        WHERE place = 0
        UNION ALL
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name),
            d.department,
            f.gender,
            0,
            NULL,
            NULL,
            COUNT(*),
            SUM(CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - v.admission_at) / 3600 AS FLOAT))
        FROM "FactPatientFlow" f
CROSS JOIN "FactPatientFlow" v
CROSS JOIN "DimTime" t
CROSS JOIN "DimDepartment" d
        WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT)
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) ended_and_open
) cells
WHERE place = 1;

COMMENT ON VIEW "LengthOfStay" IS 'Length of visits that have ended, by local date of discharge and last department; beside it, under today''s date, the visits that are still open and how long they have lasted. /* definition 6147cbf7cefa */';

CREATE VIEW "CurrentPatients" WITH (security_invoker = true) AS
SELECT
    stay_key,
    visit_id,
    hospital_id,
    hospital_name,
    department,
    gender,
    age_band,
    bed_id,
    date,
    admission_at,
    planned_discharge_at,
    stay_hours,
    visit_hours,
    expected_los_hours,
    CASE WHEN stay_hours > expected_los_hours THEN TRUE ELSE FALSE END AS is_overstay
FROM (
    SELECT
        f.stay_key,
        f.visit_id,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        p.age_band,
        f.bed_id,
        t.date,
        f.admission_at,
        f.discharge_at AS planned_discharge_at,
        CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.admission_at) / 3600 AS FLOAT) AS stay_hours,
        CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - v.admission_at) / 3600 AS FLOAT) AS visit_hours,
        d.expected_los_hours
    FROM "FactPatientFlow" f
CROSS JOIN "FactPatientFlow" v
CROSS JOIN "DimTime" t
CROSS JOIN "DimDepartment" d
    LEFT JOIN "DimPatient" p ON p.patient_key = f.patient_key
    WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = f.admission_time_key
) stays;

COMMENT ON VIEW "CurrentPatients" IS 'Patients in beds now, one row per open stay. /* definition b60401794b61 */';

CREATE VIEW "DepartmentInflow" WITH (security_invoker = true) AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END AS from_department,
    f.gender,
    CAST(SUM(CASE WHEN f.from_department_key = 0 THEN 1 ELSE 0 END) AS BIGINT) AS admissions,
    CAST(SUM(CASE WHEN f.from_department_key = 0 THEN 0 ELSE 1 END) AS BIGINT) AS transfers_in,
    CAST(COUNT(*) AS BIGINT) AS patients
FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
LEFT JOIN "DimDepartment" o ON o.department_key = f.from_department_key
WHERE f.admission_time_key = t.time_key AND (f.is_visit_start = TRUE OR f.from_department_key <> 0)
GROUP BY
    t.date,
    d.hospital_id,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END,
    f.gender;

COMMENT ON VIEW "DepartmentInflow" IS 'Where the patients of a department come from, by local date and gender: admissions, and moves from another department of the hospital. /* definition 70b1eded94bd */';

CREATE VIEW "Overstays" WITH (security_invoker = true) AS
SELECT
    t.date,
    f.stay_key,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at,
    f.discharge_at,
    CASE WHEN 1 = 0 THEN TRUE ELSE FALSE END AS is_open,
    f.length_of_stay_hours AS stay_hours,
    d.expected_los_hours,
    f.length_of_stay_hours - d.expected_los_hours AS hours_over
FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.length_of_stay_hours > d.expected_los_hours
UNION ALL
SELECT
    t.date,
    f.stay_key,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at,
    f.discharge_at,
    CASE WHEN 1 = 1 THEN TRUE ELSE FALSE END,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.admission_at) / 3600 AS FLOAT),
    d.expected_los_hours,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.admission_at) / 3600 AS FLOAT) - d.expected_los_hours
FROM "FactPatientFlow" f
CROSS JOIN "FactPatientFlow" v
CROSS JOIN "DimTime" t
CROSS JOIN "DimDepartment" d
WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT) AND CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.admission_at) / 3600 AS FLOAT) > d.expected_los_hours;

COMMENT ON VIEW "Overstays" IS 'Stays that are, or were, longer than their department expects, one row per stay. /* definition df7f1c3b459d */';

CREATE VIEW "BedTurnover" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    discharges,
    staffed_bed_hours,
    hours,
    CAST(staffed_bed_hours AS FLOAT) / NULLIF(hours, 0) AS average_staffed_beds,
    CAST(discharges AS FLOAT) * hours / NULLIF(staffed_bed_hours, 0) AS bed_turnover
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department) AS hospital_name,
        department,
        CAST(SUM(discharges) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS discharges,
        CAST(SUM(staffed_beds) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS staffed_bed_hours,
        CAST(SUM(hours) OVER (PARTITION BY date, hospital_id, department) AS BIGINT) AS hours,
        ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department ORDER BY discharges) AS place
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name) AS hospital_name,
            d.department,
            SUM(d.staffed_beds) AS staffed_beds,
            COUNT(*) AS hours,
            0 AS discharges
        FROM (SELECT MIN(time_key) AS time_key FROM "FactBedCensus") first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM "FactBedCensus") last_hour
JOIN "DimTime" t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN "DimDepartment" d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
        WHERE d.staffed_beds IS NOT NULL
        GROUP BY t.date, d.hospital_id, d.department
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, NULL, 0, COUNT(*)
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE
        GROUP BY t.date, d.hospital_id, d.department
    ) beds_and_discharges
) days
WHERE place = 1;

COMMENT ON VIEW "BedTurnover" IS 'Discharges per staffed bed, by local date and department. For a longer period divide the sum of discharges by sum of staffed_bed_hours / hours of the period. /* definition 285e009222ec */';

CREATE VIEW "Readmissions" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    discharges,
    readmissions,
    100 * CAST(readmissions AS FLOAT) / NULLIF(discharges, 0) AS readmission_pct,
    discharges_pending
FROM (
    SELECT
        t.date,
        d.hospital_id,
        MAX(d.hospital_name) AS hospital_name,
        d.department,
        f.gender,
        CAST(COUNT(DISTINCT CASE WHEN (f.discharge_at + INTERVAL '30 days') <= (now() AT TIME ZONE 'UTC') THEN f.stay_key END) AS BIGINT)
            AS discharges,
        CAST(
            COUNT(DISTINCT CASE
                WHEN (f.discharge_at + INTERVAL '30 days') <= (now() AT TIME ZONE 'UTC') AND n.stay_key IS NOT NULL THEN f.stay_key
            END) AS BIGINT
        ) AS readmissions,
        CAST(COUNT(DISTINCT CASE WHEN (f.discharge_at + INTERVAL '30 days') > (now() AT TIME ZONE 'UTC') THEN f.stay_key END) AS BIGINT)
            AS discharges_pending
    FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
    JOIN "DimPatient" p ON p.patient_key = f.patient_key
    LEFT JOIN "DimPatient" a ON a.patient_id = p.patient_id
    LEFT JOIN "FactPatientFlow" n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = TRUE
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= (f.discharge_at + INTERVAL '30 days')
    WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status <> 'deceased')
    GROUP BY t.date, d.hospital_id, d.department, f.gender
) cells;

COMMENT ON VIEW "Readmissions" IS 'Patients discharged alive and admitted again within 0 to 30 days, to any hospital, by local date of the first discharge, its department and gender. /* definition ce58b708834a */';

CREATE VIEW "DataFreshness" WITH (security_invoker = true) AS
SELECT
    l.table_name,
    l.gold_version,
    l.loaded_at,
    l.newest_event_at,
    l.lag_seconds,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - l.newest_event_at) / 3600 AS FLOAT) * 3600 AS age_seconds,
    l.rows_written,
    l.run_id
FROM "LoadLog" l;

COMMENT ON VIEW "DataFreshness" IS 'How fresh each table is. /* definition f3143c242dab */';
