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
    PRIMARY KEY (admission_time_key, stay_key)
);

CREATE INDEX "ix_FactPatientFlow_admission_time_key" ON "FactPatientFlow" (admission_time_key, department_key, from_department_key, gender, patient_key, admission_at, is_visit_start, is_transfer, is_day_case, is_observation, stay_kind, wait_minutes);

CREATE INDEX "ix_FactPatientFlow_arrival_time_key" ON "FactPatientFlow" (arrival_time_key, visit_id);

CREATE INDEX "ix_FactPatientFlow_department_key" ON "FactPatientFlow" (department_key);

CREATE INDEX "ix_FactPatientFlow_discharge_at" ON "FactPatientFlow" (discharge_at);

CREATE INDEX "ix_FactPatientFlow_discharge_time_key" ON "FactPatientFlow" (discharge_time_key, department_key, gender, patient_key, bed_id, admission_at, discharge_at, length_of_stay_hours, visit_length_of_stay_hours, in_bed_hours, nights, is_visit_end, is_day_case, is_observation, confirmed_until);

CREATE INDEX "ix_FactPatientFlow_patient_key" ON "FactPatientFlow" (patient_key);

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
    PRIMARY KEY (arrival_time_key, attendance_key)
);

CREATE INDEX "ix_FactEdAttendance_arrival_time_key" ON "FactEdAttendance" (arrival_time_key, department_key, gender, patient_key, arrival_at, departure_at, outcome, minutes_to_triage, minutes_to_seen, minutes_in_department, boarding_minutes);

CREATE INDEX "ix_FactEdAttendance_department_key" ON "FactEdAttendance" (department_key);

CREATE INDEX "ix_FactEdAttendance_departure_at" ON "FactEdAttendance" (departure_at);

CREATE INDEX "ix_FactEdAttendance_patient_key" ON "FactEdAttendance" (patient_key);

CREATE TABLE "FactBedCensus" (
    time_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    occupied_beds BIGINT NOT NULL,
    PRIMARY KEY (time_key, department_key, gender)
);

CREATE INDEX "ix_FactBedCensus_department_key" ON "FactBedCensus" (department_key, time_key);

CREATE TABLE "KpiDepartmentDay" (
    date DATE NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    admissions BIGINT NOT NULL,
    day_cases BIGINT NOT NULL,
    transfers_in BIGINT NOT NULL,
    discharges BIGINT NOT NULL,
    early_discharges BIGINT NOT NULL,
    waits BIGINT NOT NULL,
    wait_minutes_sum FLOAT(53),
    wait_minutes_p50 FLOAT(53),
    wait_minutes_p90 FLOAT(53),
    waits_within_240 BIGINT NOT NULL,
    length_of_stay_hours_sum FLOAT(53),
    length_of_stay_hours_median FLOAT(53),
    nights_sum BIGINT NOT NULL,
    in_bed_hours_sum FLOAT(53),
    overstays BIGINT NOT NULL,
    occupied_bed_hours BIGINT NOT NULL,
    midnight_beds BIGINT NOT NULL,
    staffed_bed_hours FLOAT(53),
    attendances BIGINT NOT NULL,
    ed_departed BIGINT NOT NULL,
    ed_within_240 BIGINT NOT NULL,
    ed_over_480 BIGINT NOT NULL,
    ed_over_720 BIGINT NOT NULL,
    ed_left_without_being_seen BIGINT NOT NULL,
    ed_admitted BIGINT NOT NULL,
    ed_boarding_over_240 BIGINT NOT NULL,
    minutes_to_triage_p50 FLOAT(53),
    minutes_to_triage_p90 FLOAT(53),
    minutes_to_triage_p95 FLOAT(53),
    minutes_to_seen_p50 FLOAT(53),
    minutes_to_seen_p90 FLOAT(53),
    minutes_to_seen_p95 FLOAT(53),
    minutes_in_department_p50 FLOAT(53),
    minutes_in_department_p90 FLOAT(53),
    minutes_in_department_p95 FLOAT(53),
    boarding_minutes_p50 FLOAT(53),
    boarding_minutes_p90 FLOAT(53),
    boarding_minutes_p95 FLOAT(53),
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

CREATE TABLE "ForecastBeds" (
    forecast_key BIGINT NOT NULL,
    made_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    target_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    expected_beds FLOAT(53),
    p025 FLOAT(53),
    p05 FLOAT(53),
    p10 FLOAT(53),
    p25 FLOAT(53),
    p50 FLOAT(53),
    p75 FLOAT(53),
    p90 FLOAT(53),
    p95 FLOAT(53),
    p975 FLOAT(53),
    expected_admissions FLOAT(53),
    expected_discharges FLOAT(53),
    probability_full FLOAT(53),
    is_morning BOOLEAN NOT NULL,
    is_backcast BOOLEAN NOT NULL,
    PRIMARY KEY (forecast_key)
);

CREATE INDEX "ix_ForecastBeds_made_at" ON "ForecastBeds" (made_at);

CREATE TABLE "ForecastArrivals" (
    forecast_key BIGINT NOT NULL,
    made_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    target_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    department_key BIGINT NOT NULL,
    expected FLOAT(53),
    p025 FLOAT(53),
    p05 FLOAT(53),
    p10 FLOAT(53),
    p25 FLOAT(53),
    p50 FLOAT(53),
    p75 FLOAT(53),
    p90 FLOAT(53),
    p95 FLOAT(53),
    p975 FLOAT(53),
    is_morning BOOLEAN NOT NULL,
    is_backcast BOOLEAN NOT NULL,
    PRIMARY KEY (forecast_key)
);

CREATE INDEX "ix_ForecastArrivals_made_at" ON "ForecastArrivals" (made_at);

CREATE TABLE "ForecastScore" (
    date DATE NOT NULL,
    horizon VARCHAR(64) NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    department_key BIGINT NOT NULL,
    target_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    occupied_beds FLOAT(53),
    absolute_error FLOAT(53),
    pinball_loss FLOAT(53),
    covered_80 FLOAT(53),
    covered_95 FLOAT(53),
    persistence_absolute_error FLOAT(53),
    persistence_pinball_loss FLOAT(53),
    persistence_covered_80 FLOAT(53),
    persistence_covered_95 FLOAT(53),
    week_ago_absolute_error FLOAT(53),
    week_ago_pinball_loss FLOAT(53),
    week_ago_covered_80 FLOAT(53),
    week_ago_covered_95 FLOAT(53),
    PRIMARY KEY (date, horizon, hospital_id, department_key)
);

CREATE TABLE "ForecastShown" (
    forecast_key BIGINT NOT NULL,
    made_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    target_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(16) NOT NULL,
    staffed_beds BIGINT,
    source VARCHAR(16),
    judged_days BIGINT NOT NULL,
    covered_80_pct FLOAT(53),
    covered_95_pct FLOAT(53),
    covers_too_little BOOLEAN NOT NULL,
    loses BOOLEAN NOT NULL,
    expected_beds FLOAT(53),
    p025 FLOAT(53),
    p05 FLOAT(53),
    p10 FLOAT(53),
    p25 FLOAT(53),
    p50 FLOAT(53),
    p75 FLOAT(53),
    p90 FLOAT(53),
    p95 FLOAT(53),
    p975 FLOAT(53),
    expected_admissions FLOAT(53),
    expected_discharges FLOAT(53),
    probability_full FLOAT(53),
    PRIMARY KEY (forecast_key)
);

CREATE TABLE "AccessLog" (
    at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    viewer VARCHAR(256) NOT NULL,
    what VARCHAR(1000) NOT NULL,
    scope VARCHAR(1000) NOT NULL,
    kind VARCHAR(64) NOT NULL,
    request_id VARCHAR(64) NOT NULL,
    chain VARCHAR(64) NOT NULL,
    number BIGINT NOT NULL,
    previous_hash VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    PRIMARY KEY (chain, number)
);

CREATE TABLE "AggregateDay" (
    date DATE NOT NULL,
    hospital_id VARCHAR(64) NOT NULL,
    department VARCHAR(64) NOT NULL,
    gender VARCHAR(64) NOT NULL,
    month DATE NOT NULL,
    is_month_end BOOLEAN NOT NULL,
    admissions BIGINT,
    discharges BIGINT,
    patients_at_midnight BIGINT,
    staffed_beds BIGINT,
    attendances BIGINT,
    departures BIGINT,
    within_240 BIGINT,
    waits BIGINT,
    wait_minutes_sum BIGINT,
    threshold INTEGER NOT NULL,
    published_at TIMESTAMP(6) WITHOUT TIME ZONE NOT NULL,
    PRIMARY KEY (date, hospital_id, department, gender)
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
    figures_version BIGINT,
    figures_changed_at TIMESTAMP(6) WITHOUT TIME ZONE,
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

INSERT INTO "LoadLog" (table_name) SELECT 'ForecastBeds' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'ForecastBeds'));

INSERT INTO "LoadLog" (table_name) SELECT 'ForecastArrivals' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'ForecastArrivals'));

INSERT INTO "LoadLog" (table_name) SELECT 'ForecastScore' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'ForecastScore'));

INSERT INTO "LoadLog" (table_name) SELECT 'ForecastShown' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM "LoadLog"
WHERE "LoadLog".table_name = 'ForecastShown'));

CREATE VIEW "BedOccupancyHourly" WITH (security_invoker = true) AS
SELECT
    t.time_key,
    t.hour_start_at,
    t.date,
    t.hour,
    d.hospital_id,
    d.hospital_name,
    d.department,
    d.class,
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
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = TRUE THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM "DimDepartment" o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM "DimDepartment" e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN "DimTime" h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM "DimTime" i
        JOIN "FactBedCensus" j ON j.time_key = i.time_key
        JOIN "DimDepartment" k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
LEFT JOIN "FactBedCensus" c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, t.is_day_start,
    d.hospital_id, d.hospital_name, d.department, d.class, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0;

COMMENT ON VIEW "BedOccupancyHourly" IS 'Beds occupied at the start of each hour, by department; occupancy = sum of occupied / sum of staffed beds. /* definition 54b862d4a9d7 */';

CREATE VIEW "BedOccupancyByGender" WITH (security_invoker = true) AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    MAX(d.class) AS class,
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
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = TRUE THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM "DimDepartment" o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM "DimDepartment" e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN "DimTime" h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM "DimTime" i
        JOIN "FactBedCensus" j ON j.time_key = i.time_key
        JOIN "DimDepartment" k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
CROSS JOIN (SELECT 'Female' AS gender UNION ALL SELECT 'Male' AS gender UNION ALL SELECT 'Other' AS gender UNION ALL SELECT 'Unknown' AS gender) g
LEFT JOIN "FactBedCensus" c
    ON c.time_key = t.time_key AND c.department_key = d.department_key AND c.gender = g.gender
GROUP BY t.date, d.hospital_id, d.department, g.gender
HAVING COUNT(d.staffed_beds) > 0 OR COUNT(c.occupied_beds) > 0;

COMMENT ON VIEW "BedOccupancyByGender" IS 'Bed hours by local date, department and gender. The staffed beds are the department''s for every gender, so that the genders'' percentages add up to the department''s: add staffed_bed_hours up for one gender only. /* definition 7de63f4929df */';

CREATE VIEW "AdmissionsDaily" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    admissions,
    day_cases,
    transfers_in,
    discharges,
    early_discharges,
    100 * CAST(early_discharges AS FLOAT) / NULLIF(discharges, 0) AS early_discharge_pct,
    visits
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
        department,
        gender,
        CAST(SUM(admissions) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS admissions,
        CAST(SUM(day_cases) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS day_cases,
        CAST(SUM(transfers_in) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS transfers_in,
        CAST(SUM(discharges) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS discharges,
        CAST(SUM(early_discharges) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS early_discharges,
        CAST(SUM(visits) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS visits,
        ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department, gender ORDER BY discharges) AS place
    FROM (
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name) AS hospital_name,
            d.department,
            f.gender,
            SUM(CASE WHEN f.is_visit_start = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE) THEN 1 ELSE 0 END) AS admissions,
            SUM(CASE WHEN f.is_visit_start = TRUE AND f.is_day_case = TRUE THEN 1 ELSE 0 END) AS day_cases,
            SUM(CASE WHEN f.is_transfer = TRUE THEN 1 ELSE 0 END) AS transfers_in,
            0 AS discharges,
            0 AS early_discharges,
            COUNT(DISTINCT f.visit_id) AS visits
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.admission_time_key = t.time_key AND f.stay_kind = 'ward'
        GROUP BY t.date, d.hospital_id, d.department, f.gender
        UNION ALL
        SELECT
            t.date,
            d.hospital_id,
            MAX(d.hospital_name),
            d.department,
            f.gender,
            0,
            0,
            0,
            COUNT(*),
            SUM(CASE WHEN t.hour <= 16 THEN 1 ELSE 0 END),
            0
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE)
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) begun_and_ended
) cells
WHERE place = 1;

COMMENT ON VIEW "AdmissionsDaily" IS 'Ward movements by local date, department and gender; a planned discharge counts when its time has come. Day cases stand beside admissions and discharges. /* definition 7fa909972e22 */';

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
        WHERE f.admission_time_key = t.time_key AND f.is_visit_start = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE) AND f.wait_minutes IS NOT NULL
    ) ranked
) cells
WHERE place = 0;

COMMENT ON VIEW "WaitingTimes" IS 'Waits from arrival to admission, of each visit''s first ward stay, by local date of admission, department and gender. /* definition 6b84bd4f3614 */';

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
    nights_sum,
    CAST(nights_sum AS FLOAT) / NULLIF(ended_visits, 0) AS nights_mean,
    in_bed_hours_sum,
    CAST(in_bed_hours_sum AS FLOAT) / NULLIF(ended_visits, 0) AS in_bed_hours_mean,
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
        CAST(SUM(ended_nights) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS nights_sum,
        SUM(ended_in_bed) OVER (PARTITION BY date, hospital_id, department, gender) AS in_bed_hours_sum,
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
            ended_nights,
            ended_in_bed,
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
                SUM(nights) OVER (PARTITION BY date, hospital_id, department, gender) AS ended_nights,
                SUM(in_bed_hours) OVER (PARTITION BY date, hospital_id, department, gender) AS ended_in_bed,
                SUM(CASE WHEN ABS(place - 0.5 * last_place) < 1 THEN hours * (1 - ABS(place - 0.5 * last_place)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS median_hours
            FROM (
                SELECT
                    t.date,
                    d.hospital_id,
                    d.hospital_name,
                    d.department,
                    f.gender,
                    f.visit_length_of_stay_hours AS hours,
                    f.nights,
                    f.in_bed_hours,
                    ROW_NUMBER() OVER (
                        PARTITION BY t.date, d.hospital_id, d.department, f.gender
                        ORDER BY f.visit_length_of_stay_hours
                    ) - 1 AS place,
                    COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
                FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
                WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE) AND f.visit_length_of_stay_hours IS NOT NULL
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
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key
            AND v.is_visit_start = TRUE AND (v.is_day_case IS NULL OR v.is_day_case <> TRUE) AND (v.is_observation IS NULL OR v.is_observation <> TRUE)
            AND f.stay_kind = 'ward'
            AND t.time_key = CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT)
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) ended_and_open
) cells
WHERE place = 1;

COMMENT ON VIEW "LengthOfStay" IS 'Length of visits that have ended, by local date of discharge and last department; beside it, under today''s date, the visits that are still open and how long they have lasted. /* definition 6953cfb65d0a */';

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
        f.planned_discharge_at,
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
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key AND v.stay_number = 1 AND t.time_key = f.admission_time_key
) stays;

COMMENT ON VIEW "CurrentPatients" IS 'Patients in beds now, one row per open stay. /* definition 47ff60851bda */';

CREATE VIEW "DepartmentInflow" WITH (security_invoker = true) AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END AS from_department,
    f.gender,
    CAST(SUM(CASE WHEN f.is_visit_start = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE) THEN 1 ELSE 0 END) AS BIGINT) AS admissions,
    CAST(SUM(CASE WHEN f.is_transfer = TRUE THEN 1 ELSE 0 END) AS BIGINT) AS transfers_in,
    CAST(COUNT(*) AS BIGINT) AS patients
FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
LEFT JOIN "DimDepartment" o ON o.department_key = f.from_department_key
WHERE f.admission_time_key = t.time_key
    AND ((f.is_visit_start = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE)) OR f.is_transfer = TRUE)
GROUP BY
    t.date,
    d.hospital_id,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END,
    f.gender;

COMMENT ON VIEW "DepartmentInflow" IS 'Where the patients of a department come from, by local date and gender: admissions, and moves from another department of the hospital. /* definition e641885dc07d */';

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
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key AND v.stay_number = 1 AND t.time_key = CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT) AND CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.admission_at) / 3600 AS FLOAT) > d.expected_los_hours;

COMMENT ON VIEW "Overstays" IS 'Stays that are, or were, longer than their department expects, one row per stay. /* definition 40b25d8dcb2f */';

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
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = TRUE THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM "DimDepartment" o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM "DimDepartment" e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM "FactBedCensus" GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN "DimTime" h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM "DimTime" i
        JOIN "FactBedCensus" j ON j.time_key = i.time_key
        JOIN "DimDepartment" k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
        WHERE d.staffed_beds IS NOT NULL
        GROUP BY t.date, d.hospital_id, d.department
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, NULL, 0, COUNT(*)
        FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE)
        GROUP BY t.date, d.hospital_id, d.department
    ) beds_and_discharges
) days
WHERE place = 1;

COMMENT ON VIEW "BedTurnover" IS 'Discharges per staffed bed, by local date and department. For a longer period divide the sum of discharges by sum of staffed_bed_hours / hours of the period. /* definition e1eb9932d402 */';

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
    emergency_readmissions,
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
        CAST(
            COUNT(DISTINCT CASE
                WHEN (f.discharge_at + INTERVAL '30 days') <= (now() AT TIME ZONE 'UTC') AND n.admission_type = 'emergency'
                THEN f.stay_key
            END) AS BIGINT
        ) AS emergency_readmissions,
        CAST(COUNT(DISTINCT CASE WHEN (f.discharge_at + INTERVAL '30 days') > (now() AT TIME ZONE 'UTC') THEN f.stay_key END) AS BIGINT)
            AS discharges_pending
    FROM "DimTime" t
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
    JOIN "DimPatient" p ON p.patient_key = f.patient_key
    LEFT JOIN "DimPatient" a ON a.patient_id = p.patient_id
    LEFT JOIN "FactPatientFlow" n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = TRUE AND (n.is_day_case IS NULL OR n.is_day_case <> TRUE) AND (n.is_observation IS NULL OR n.is_observation <> TRUE)
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= (f.discharge_at + INTERVAL '30 days')
        AND NOT EXISTS (
            SELECT 1
            FROM "DimPatient" b
            JOIN "FactPatientFlow" x ON x.patient_key = b.patient_key
            WHERE b.patient_id = p.patient_id
                AND x.is_visit_end = TRUE AND (x.is_day_case IS NULL OR x.is_day_case <> TRUE) AND (x.is_observation IS NULL OR x.is_observation <> TRUE)
                AND x.discharge_status = 'transferred'
                AND x.visit_id <> n.visit_id
                AND x.admission_at < n.admission_at
                AND x.discharge_at <= (n.admission_at + INTERVAL '1 days')
                AND n.admission_at <= (x.discharge_at + INTERVAL '1 days')
        )
    WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= (now() AT TIME ZONE 'UTC') AND f.is_visit_end = TRUE AND (f.is_day_case IS NULL OR f.is_day_case <> TRUE) AND (f.is_observation IS NULL OR f.is_observation <> TRUE)
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status NOT IN ('deceased', 'transferred'))
    GROUP BY t.date, d.hospital_id, d.department, f.gender
) cells;

COMMENT ON VIEW "Readmissions" IS 'Patients discharged alive and admitted again within 0 to 30 days, to any hospital, by local date of the first discharge, its department and gender. A discharge with status transferred starts no 30 days, and an admission within 24 hours of one continues its spell: it is no readmission. /* definition 3ac90e282e68 */';

CREATE VIEW "BedsNow" WITH (security_invoker = true) AS
SELECT
    d.hospital_id,
    d.hospital_name,
    d.department,
    d.class,
    d.beds,
    d.staffed_beds,
    d.beds - d.staffed_beds AS closed_beds,
    CAST(COALESCE(n.everybody, 0) AS BIGINT) AS occupied_beds,
    CAST(d.staffed_beds - COALESCE(n.everybody, 0) AS BIGINT) AS free_beds,
    CAST(d.women_beds - COALESCE(n.women, 0) AS BIGINT) AS free_women_beds,
    CAST(d.men_beds - COALESCE(n.men, 0) AS BIGINT) AS free_men_beds
FROM "DimDepartment" d
LEFT JOIN (
    SELECT
        o.hospital_id,
        o.department,
        COUNT(*) AS everybody,
        SUM(CASE WHEN f.gender = 'Female' THEN 1 ELSE 0 END) AS women,
        SUM(CASE WHEN f.gender = 'Male' THEN 1 ELSE 0 END) AS men
    FROM "FactPatientFlow" f
    JOIN "DimDepartment" o ON o.department_key = f.department_key
    WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
    GROUP BY o.hospital_id, o.department
) n ON n.hospital_id = d.hospital_id AND n.department = d.department
WHERE d.valid_from <= (now() AT TIME ZONE 'UTC')
    AND (d.valid_to IS NULL OR d.valid_to > (now() AT TIME ZONE 'UTC'))
    AND (d.staffed_beds IS NOT NULL OR n.everybody > 0);

COMMENT ON VIEW "BedsNow" IS 'Beds of each department now: staffed, closed, occupied, free. Free beds are negative where more patients than staffed beds are there. /* definition a7e842b75854 */';

CREATE VIEW "BedsExpected" WITH (security_invoker = true) AS
SELECT
    f.made_at,
    f.target_at,
    f.horizon_hours,
    f.hospital_id,
    n.hospital_name,
    d.department,
    f.staffed_beds,
    f.source,
    f.expected_beds,
    f.p025,
    f.p10,
    f.p50,
    f.p90,
    f.p975,
    f.staffed_beds - f.expected_beds AS free_beds,
    f.staffed_beds - f.p90 AS free_low,
    f.staffed_beds - f.p10 AS free_high,
    f.expected_admissions,
    f.expected_discharges,
    f.probability_full,
    f.judged_days
FROM "ForecastShown" f
JOIN (
    SELECT p.hospital_id, MAX(p.hospital_name) AS hospital_name FROM "DimDepartment" p GROUP BY p.hospital_id
) n ON n.hospital_id = f.hospital_id
LEFT JOIN "DimDepartment" d ON d.department_key = f.department_key AND f.department_key <> 0
WHERE f.gender = 'All' AND f.source IS NOT NULL;

COMMENT ON VIEW "BedsExpected" IS 'The newest forecast of departments and of hospitals, all genders: occupied and free beds at each hour ahead. Only hospitals whose forecasts have been compared with what happened for long enough have rows. /* definition b4570bfb7ea4 */';

CREATE VIEW "EmergencyNow" WITH (security_invoker = true) AS
SELECT
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CAST(COUNT(*) AS BIGINT) AS in_department,
    CAST(SUM(CASE WHEN a.decision_at <= (now() AT TIME ZONE 'UTC') THEN 1 ELSE 0 END) AS BIGINT) AS waiting_for_bed,
    CAST(SUM(CASE WHEN CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - a.decision_at) / 3600 AS FLOAT) > 4 THEN 1 ELSE 0 END) AS BIGINT) AS boarding_over_240,
    MAX(CASE WHEN a.decision_at <= (now() AT TIME ZONE 'UTC') THEN CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - a.decision_at) / 3600 AS FLOAT) * 60 END) AS longest_wait_minutes,
    MAX(CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - a.arrival_at) / 3600 AS FLOAT) * 60) AS longest_stay_minutes
FROM "FactEdAttendance" a
JOIN "DimDepartment" d ON d.department_key = a.department_key
WHERE a.arrival_at <= (now() AT TIME ZONE 'UTC')
AND (a.departure_at IS NULL OR a.departure_at > (now() AT TIME ZONE 'UTC'))
AND (a.confirmed_until IS NULL OR a.confirmed_until >= (now() AT TIME ZONE 'UTC'))
GROUP BY d.hospital_id, d.department;

COMMENT ON VIEW "EmergencyNow" IS 'Emergency departments with patients now: who is there, and who of them waits for a bed. /* definition 24f811dfc564 */';

CREATE VIEW "EmergencyDaily" WITH (security_invoker = true) AS
SELECT
    date,
    hospital_id,
    hospital_name,
    department,
    gender,
    attendances,
    ed_departed,
    ed_within_240,
    100 * CAST(ed_within_240 AS FLOAT) / NULLIF(ed_departed, 0) AS four_hour_pct,
    ed_over_480,
    ed_over_720,
    100 * CAST(ed_over_720 AS FLOAT) / NULLIF(ed_departed, 0) AS ed_over_720_pct,
    ed_left_without_being_seen,
    100 * CAST(ed_left_without_being_seen AS FLOAT) / NULLIF(ed_departed, 0) AS left_without_being_seen_pct,
    ed_admitted,
    100 * CAST(ed_admitted AS FLOAT) / NULLIF(ed_departed, 0) AS conversion_pct,
    ed_boarding_over_240,
    minutes_to_triage_p50,
    minutes_to_triage_p90,
    minutes_to_triage_p95,
    minutes_to_seen_p50,
    minutes_to_seen_p90,
    minutes_to_seen_p95,
    minutes_in_department_p50,
    minutes_in_department_p90,
    minutes_in_department_p95,
    boarding_minutes_p50,
    boarding_minutes_p90,
    boarding_minutes_p95
FROM (
    SELECT
        date,
        hospital_id,
        MAX(hospital_name) OVER (PARTITION BY date, hospital_id, department, gender) AS hospital_name,
        department,
        gender,
        place,
        CAST(COUNT(*) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS attendances,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_departed,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND minutes_in_department <= 240 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_within_240,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND minutes_in_department > 480 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_over_480,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND minutes_in_department > 720 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_over_720,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND outcome = 'left_without_being_seen' THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_left_without_being_seen,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND outcome = 'admitted' THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_admitted,
        CAST(SUM(CASE WHEN departure_at <= (now() AT TIME ZONE 'UTC') AND boarding_minutes > 240 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_boarding_over_240,
        CASE WHEN minutes_to_triage_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_triage_place - 0.5 * minutes_to_triage_last) < 1 THEN minutes_to_triage * (1 - ABS(minutes_to_triage_place - 0.5 * minutes_to_triage_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_triage_p50,
        CASE WHEN minutes_to_triage_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_triage_place - 0.9 * minutes_to_triage_last) < 1 THEN minutes_to_triage * (1 - ABS(minutes_to_triage_place - 0.9 * minutes_to_triage_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_triage_p90,
        CASE WHEN minutes_to_triage_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_triage_place - 0.95 * minutes_to_triage_last) < 1 THEN minutes_to_triage * (1 - ABS(minutes_to_triage_place - 0.95 * minutes_to_triage_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_triage_p95,
        CASE WHEN minutes_to_seen_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_seen_place - 0.5 * minutes_to_seen_last) < 1 THEN minutes_to_seen * (1 - ABS(minutes_to_seen_place - 0.5 * minutes_to_seen_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_seen_p50,
        CASE WHEN minutes_to_seen_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_seen_place - 0.9 * minutes_to_seen_last) < 1 THEN minutes_to_seen * (1 - ABS(minutes_to_seen_place - 0.9 * minutes_to_seen_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_seen_p90,
        CASE WHEN minutes_to_seen_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_to_seen_place - 0.95 * minutes_to_seen_last) < 1 THEN minutes_to_seen * (1 - ABS(minutes_to_seen_place - 0.95 * minutes_to_seen_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_to_seen_p95,
        CASE WHEN minutes_in_department_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_in_department_place - 0.5 * minutes_in_department_last) < 1 THEN minutes_in_department * (1 - ABS(minutes_in_department_place - 0.5 * minutes_in_department_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_in_department_p50,
        CASE WHEN minutes_in_department_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_in_department_place - 0.9 * minutes_in_department_last) < 1 THEN minutes_in_department * (1 - ABS(minutes_in_department_place - 0.9 * minutes_in_department_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_in_department_p90,
        CASE WHEN minutes_in_department_last >= 0 THEN
            SUM(CASE WHEN ABS(minutes_in_department_place - 0.95 * minutes_in_department_last) < 1 THEN minutes_in_department * (1 - ABS(minutes_in_department_place - 0.95 * minutes_in_department_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS minutes_in_department_p95,
        CASE WHEN boarding_minutes_last >= 0 THEN
            SUM(CASE WHEN ABS(boarding_minutes_place - 0.5 * boarding_minutes_last) < 1 THEN boarding_minutes * (1 - ABS(boarding_minutes_place - 0.5 * boarding_minutes_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS boarding_minutes_p50,
        CASE WHEN boarding_minutes_last >= 0 THEN
            SUM(CASE WHEN ABS(boarding_minutes_place - 0.9 * boarding_minutes_last) < 1 THEN boarding_minutes * (1 - ABS(boarding_minutes_place - 0.9 * boarding_minutes_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS boarding_minutes_p90,
        CASE WHEN boarding_minutes_last >= 0 THEN
            SUM(CASE WHEN ABS(boarding_minutes_place - 0.95 * boarding_minutes_last) < 1 THEN boarding_minutes * (1 - ABS(boarding_minutes_place - 0.95 * boarding_minutes_last)) ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender)
        END AS boarding_minutes_p95
    FROM (
        SELECT
            date,
            hospital_id,
            hospital_name,
            department,
            gender,
            departure_at,
            outcome,
            minutes_to_triage,
            ROW_NUMBER() OVER (
                PARTITION BY date, hospital_id, department, gender ORDER BY CASE WHEN minutes_to_triage IS NULL THEN 1 ELSE 0 END, minutes_to_triage
            ) - 1 AS minutes_to_triage_place,
            COUNT(minutes_to_triage) OVER (PARTITION BY date, hospital_id, department, gender) - 1 AS minutes_to_triage_last,
            minutes_to_seen,
            ROW_NUMBER() OVER (
                PARTITION BY date, hospital_id, department, gender ORDER BY CASE WHEN minutes_to_seen IS NULL THEN 1 ELSE 0 END, minutes_to_seen
            ) - 1 AS minutes_to_seen_place,
            COUNT(minutes_to_seen) OVER (PARTITION BY date, hospital_id, department, gender) - 1 AS minutes_to_seen_last,
            minutes_in_department,
            ROW_NUMBER() OVER (
                PARTITION BY date, hospital_id, department, gender ORDER BY CASE WHEN minutes_in_department IS NULL THEN 1 ELSE 0 END, minutes_in_department
            ) - 1 AS minutes_in_department_place,
            COUNT(minutes_in_department) OVER (PARTITION BY date, hospital_id, department, gender) - 1 AS minutes_in_department_last,
            boarding_minutes,
            ROW_NUMBER() OVER (
                PARTITION BY date, hospital_id, department, gender ORDER BY CASE WHEN boarding_minutes IS NULL THEN 1 ELSE 0 END, boarding_minutes
            ) - 1 AS boarding_minutes_place,
            COUNT(boarding_minutes) OVER (PARTITION BY date, hospital_id, department, gender) - 1 AS boarding_minutes_last,
            ROW_NUMBER() OVER (PARTITION BY date, hospital_id, department, gender ORDER BY departure_at) AS place
        FROM (
            SELECT
                t.date,
                d.hospital_id,
                d.hospital_name,
                d.department,
                a.gender,
                a.departure_at,
                a.outcome,
                a.minutes_to_triage,
                a.minutes_to_seen,
                CASE WHEN a.departure_at <= (now() AT TIME ZONE 'UTC') THEN a.minutes_in_department END AS minutes_in_department,
                CASE WHEN a.departure_at <= (now() AT TIME ZONE 'UTC') THEN a.boarding_minutes END AS boarding_minutes
            FROM "DimTime" t
CROSS JOIN "FactEdAttendance" a
JOIN "DimDepartment" d ON d.department_key = a.department_key
            WHERE a.arrival_time_key = t.time_key
        ) attended
    ) ranked
) cells
WHERE place = 1;

COMMENT ON VIEW "EmergencyDaily" IS 'Attendances of emergency departments by local date of arrival, department and gender. What became of them counts once they have departed. /* definition 28b9e5e87f4d */';

CREATE VIEW "ExpectedDischarges" WITH (security_invoker = true) AS
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
    f.planned_discharge_at,
    f.ready_at
FROM (SELECT MAX(m.time_key) AS time_key FROM "DimTime" m
    WHERE m.time_key <= CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT) AND m.is_day_start = TRUE) first_hour
JOIN "DimTime" t ON t.time_key = first_hour.time_key
CROSS JOIN (SELECT MIN(m.time_key) AS time_key FROM "DimTime" m
    WHERE m.time_key > CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT) AND m.is_day_start = TRUE) next_day
JOIN "DimTime" tomorrow ON tomorrow.time_key = next_day.time_key
CROSS JOIN "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
    AND f.planned_discharge_at >= t.hour_start_at
    AND f.planned_discharge_at < tomorrow.hour_start_at;

COMMENT ON VIEW "ExpectedDischarges" IS 'Patients in beds now who are expected to leave today, one row per open stay. /* definition 5c1e0f8f9614 */';

CREATE VIEW "DelayedDischarges" WITH (security_invoker = true) AS
SELECT
    f.stay_key,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at,
    f.planned_discharge_at,
    f.ready_at,
    COALESCE(f.ready_at, f.planned_discharge_at) AS due_at,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - COALESCE(f.ready_at, f.planned_discharge_at)) / 3600 AS FLOAT) AS delay_hours
FROM "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC')) AND COALESCE(f.ready_at, f.planned_discharge_at) <= (now() AT TIME ZONE 'UTC');

COMMENT ON VIEW "DelayedDischarges" IS 'Patients in beds now whose ready time, else planned discharge, has passed, one row per open stay. /* definition 5af91b9fbc5f */';

CREATE VIEW "LongStays" WITH (security_invoker = true) AS
SELECT
    stay_key,
    visit_id,
    hospital_id,
    hospital_name,
    department,
    gender,
    bed_id,
    admission_at,
    first_admission_at,
    nights,
    CASE WHEN nights >= 14 THEN TRUE ELSE FALSE END AS has_14_nights,
    CASE WHEN nights >= 21 THEN TRUE ELSE FALSE END AS has_21_nights
FROM (
    SELECT
        f.stay_key,
        f.visit_id,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        f.bed_id,
        f.admission_at,
        MIN(w.admission_at) AS first_admission_at,
        CAST(COUNT(m.time_key) AS BIGINT) AS nights
    FROM "FactPatientFlow" f
    CROSS JOIN "FactPatientFlow" w
    JOIN "DimDepartment" d ON d.department_key = f.department_key
    LEFT JOIN "DimTime" m
        ON m.time_key > w.admission_time_key
        AND m.time_key <= CAST(to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDDHH24') AS BIGINT)
        AND (w.discharge_at IS NULL OR w.discharge_at > (now() AT TIME ZONE 'UTC') OR m.time_key <= w.discharge_time_key)
        AND m.is_day_start = TRUE
    WHERE f.admission_at <= (now() AT TIME ZONE 'UTC')
AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
AND (f.confirmed_until IS NULL OR f.confirmed_until >= (now() AT TIME ZONE 'UTC'))
        AND f.stay_kind = 'ward'
        AND w.arrival_time_key = f.arrival_time_key
        AND w.visit_id = f.visit_id
        AND w.stay_kind = 'ward'
        AND w.admission_at <= (now() AT TIME ZONE 'UTC')
    GROUP BY
        f.stay_key, f.visit_id, d.hospital_id, d.hospital_name, d.department, f.gender, f.bed_id, f.admission_at
) stays
WHERE nights >= 7;

COMMENT ON VIEW "LongStays" IS 'Patients in ward beds now with 7 nights or more in wards, one row per open stay. /* definition fa54e3020b0e */';

CREATE VIEW "UnconfirmedStays" WITH (security_invoker = true) AS
SELECT
    f.stay_kind AS kind,
    f.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    f.gender,
    f.bed_id,
    f.admission_at AS began_at,
    f.last_confirmed_at,
    f.confirmed_until,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - f.confirmed_until) / 3600 AS FLOAT) AS unconfirmed_hours
FROM "FactPatientFlow" f
JOIN "DimDepartment" d ON d.department_key = f.department_key
WHERE f.confirmed_until < (now() AT TIME ZONE 'UTC') AND (f.discharge_at IS NULL OR f.discharge_at > (now() AT TIME ZONE 'UTC'))
UNION ALL
SELECT
    'attendance',
    a.visit_id,
    d.hospital_id,
    d.hospital_name,
    d.department,
    a.gender,
    NULL,
    a.arrival_at,
    a.last_confirmed_at,
    a.confirmed_until,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - a.confirmed_until) / 3600 AS FLOAT)
FROM "FactEdAttendance" a
JOIN "DimDepartment" d ON d.department_key = a.department_key
WHERE a.confirmed_until < (now() AT TIME ZONE 'UTC') AND (a.departure_at IS NULL OR a.departure_at > (now() AT TIME ZONE 'UTC'));

COMMENT ON VIEW "UnconfirmedStays" IS 'Open stays and attendances that no event confirms any more: they are in no other figure of now. /* definition 9a1bfbeb92e4 */';

CREATE VIEW "DataFreshness" WITH (security_invoker = true) AS
SELECT
    l.table_name,
    l.gold_version,
    l.loaded_at,
    l.newest_event_at,
    l.lag_seconds,
    CAST(EXTRACT(EPOCH FROM (now() AT TIME ZONE 'UTC') - l.newest_event_at) / 3600 AS FLOAT) * 3600 AS age_seconds,
    l.rows_written,
    l.run_id,
    l.figures_changed_at
FROM "LoadLog" l;

COMMENT ON VIEW "DataFreshness" IS 'How fresh each table is. /* definition a0e69894b4b0 */';

CREATE VIEW "AccessLogHeads" WITH (security_barrier = true) AS
SELECT l.chain, l.number, l.hash
FROM "AccessLog" l
JOIN (SELECT chain, MAX(number) AS number FROM "AccessLog" GROUP BY chain) newest
    ON newest.chain = l.chain AND newest.number = l.number;

COMMENT ON VIEW "AccessLogHeads" IS 'Newest line of each chain of the access log. /* definition c0dd91f3a501 */';

CREATE VIEW "AggregateMonth" WITH (security_invoker = true) AS
SELECT
    a.month,
    a.hospital_id,
    a.department,
    a.gender,
    SUM(a.admissions) AS admissions,
    COUNT(a.admissions) AS admissions_days,
    SUM(a.discharges) AS discharges,
    COUNT(a.discharges) AS discharges_days,
    SUM(a.patients_at_midnight) AS patients_at_midnight,
    COUNT(a.patients_at_midnight) AS patients_at_midnight_days,
    SUM(a.attendances) AS attendances,
    COUNT(a.attendances) AS attendances_days,
    SUM(a.departures) AS departures,
    COUNT(a.departures) AS departures_days,
    SUM(a.within_240) AS within_240,
    COUNT(a.within_240) AS within_240_days,
    SUM(a.waits) AS waits,
    COUNT(a.waits) AS waits_days,
    SUM(a.wait_minutes_sum) AS wait_minutes_sum,
    COUNT(a.wait_minutes_sum) AS wait_minutes_sum_days
FROM "AggregateDay" a
JOIN "AggregateDay" closed
    ON closed.month = a.month AND closed.hospital_id = a.hospital_id
    AND closed.is_month_end = TRUE AND closed.department = '' AND closed.gender = ''
GROUP BY a.month, a.hospital_id, a.department, a.gender;

COMMENT ON VIEW "AggregateMonth" IS 'Closed months of AggregateDay: sums of the published days, and how many days each sum has. /* definition 22b7e585299a */';
