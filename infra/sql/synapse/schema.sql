IF SCHEMA_ID('staging') IS NULL EXEC('CREATE SCHEMA staging')
GO

CREATE TABLE [DimTime] (
    time_key BIGINT NOT NULL,
    hour_start_at DATETIME2(6) NULL,
    date DATE NULL,
    hour SMALLINT NULL,
    is_day_start BIT NULL,
    day_name NVARCHAR(32) NULL,
    is_weekend BIT NULL,
    week SMALLINT NULL,
    month SMALLINT NULL,
    month_name NVARCHAR(32) NULL,
    quarter SMALLINT NULL,
    year SMALLINT NULL,
    shift NVARCHAR(32) NULL,
    PRIMARY KEY NONCLUSTERED (time_key) NOT ENFORCED
)
WITH (DISTRIBUTION = REPLICATE, CLUSTERED INDEX (time_key))
GO

CREATE STATISTICS [st_DimTime_time_key] ON [DimTime] (time_key)
GO

CREATE STATISTICS [st_DimTime_date] ON [DimTime] (date)
GO

CREATE TABLE [DimDepartment] (
    department_key BIGINT NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    hospital_name NVARCHAR(256) NULL,
    department NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    class NVARCHAR(32) NULL,
    beds BIGINT NULL,
    staffed_beds BIGINT NULL,
    women_beds BIGINT NULL,
    men_beds BIGINT NULL,
    staff BIGINT NULL,
    expected_los_hours FLOAT(53) NULL,
    unconfirmed_days BIGINT NULL,
    is_inferred BIT NOT NULL,
    valid_from DATETIME2(6) NOT NULL,
    valid_to DATETIME2(6) NULL,
    is_current BIT NOT NULL,
    PRIMARY KEY NONCLUSTERED (department_key) NOT ENFORCED
)
WITH (DISTRIBUTION = REPLICATE, CLUSTERED INDEX (department_key))
GO

CREATE STATISTICS [st_DimDepartment_department_key] ON [DimDepartment] (department_key)
GO

CREATE STATISTICS [st_DimDepartment_hospital_id] ON [DimDepartment] (hospital_id)
GO

CREATE STATISTICS [st_DimDepartment_department] ON [DimDepartment] (department)
GO

CREATE STATISTICS [st_DimDepartment_valid_from] ON [DimDepartment] (valid_from)
GO

CREATE TABLE [DimPatient] (
    patient_key BIGINT NOT NULL,
    patient_id NVARCHAR(128) NOT NULL,
    gender NVARCHAR(32) NULL,
    age SMALLINT NULL,
    age_band NVARCHAR(32) NULL,
    valid_from DATETIME2(6) NOT NULL,
    valid_to DATETIME2(6) NULL,
    is_current BIT NOT NULL,
    PRIMARY KEY NONCLUSTERED (patient_key) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(patient_key), CLUSTERED INDEX (patient_key))
GO

CREATE STATISTICS [st_DimPatient_patient_key] ON [DimPatient] (patient_key)
GO

CREATE STATISTICS [st_DimPatient_patient_id] ON [DimPatient] (patient_id)
GO

CREATE STATISTICS [st_DimPatient_gender] ON [DimPatient] (gender)
GO

CREATE STATISTICS [st_DimPatient_valid_from] ON [DimPatient] (valid_from)
GO

CREATE TABLE [FactPatientFlow] (
    stay_key BIGINT NOT NULL,
    visit_id NVARCHAR(128) NOT NULL,
    stay_number INTEGER NOT NULL,
    patient_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    from_department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NULL,
    arrival_time_key BIGINT NOT NULL,
    admission_time_key BIGINT NOT NULL,
    discharge_time_key BIGINT NOT NULL,
    arrival_at DATETIME2(6) NULL,
    admission_at DATETIME2(6) NOT NULL,
    discharge_at DATETIME2(6) NULL,
    stay_kind NVARCHAR(32) NULL,
    visit_class NVARCHAR(32) NULL,
    admission_type NVARCHAR(32) NULL,
    planned_discharge_at DATETIME2(6) NULL,
    ready_at DATETIME2(6) NULL,
    wait_minutes FLOAT(53) NULL,
    wait_source NVARCHAR(32) NULL,
    length_of_stay_hours FLOAT(53) NULL,
    visit_length_of_stay_hours FLOAT(53) NULL,
    in_bed_hours FLOAT(53) NULL,
    nights BIGINT NULL,
    is_visit_start BIT NOT NULL,
    is_visit_end BIT NOT NULL,
    is_transfer BIT NOT NULL,
    is_day_case BIT NOT NULL,
    is_observation BIT NOT NULL,
    bed_id NVARCHAR(128) NULL,
    discharge_status NVARCHAR(64) NULL,
    quality_flags NVARCHAR(2000) NOT NULL,
    last_confirmed_at DATETIME2(6) NULL,
    confirmed_until DATETIME2(6) NULL,
    last_enqueued_at DATETIME2(6) NOT NULL,
    PRIMARY KEY NONCLUSTERED (admission_time_key, stay_key) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(stay_key), CLUSTERED INDEX (admission_time_key, stay_key))
GO

CREATE STATISTICS [st_FactPatientFlow_stay_key] ON [FactPatientFlow] (stay_key)
GO

CREATE STATISTICS [st_FactPatientFlow_visit_id] ON [FactPatientFlow] (visit_id)
GO

CREATE STATISTICS [st_FactPatientFlow_patient_key] ON [FactPatientFlow] (patient_key)
GO

CREATE STATISTICS [st_FactPatientFlow_department_key] ON [FactPatientFlow] (department_key)
GO

CREATE STATISTICS [st_FactPatientFlow_from_department_key] ON [FactPatientFlow] (from_department_key)
GO

CREATE STATISTICS [st_FactPatientFlow_gender] ON [FactPatientFlow] (gender)
GO

CREATE STATISTICS [st_FactPatientFlow_arrival_time_key] ON [FactPatientFlow] (arrival_time_key)
GO

CREATE STATISTICS [st_FactPatientFlow_admission_time_key] ON [FactPatientFlow] (admission_time_key)
GO

CREATE STATISTICS [st_FactPatientFlow_discharge_time_key] ON [FactPatientFlow] (discharge_time_key)
GO

CREATE STATISTICS [st_FactPatientFlow_admission_at] ON [FactPatientFlow] (admission_at)
GO

CREATE STATISTICS [st_FactPatientFlow_discharge_at] ON [FactPatientFlow] (discharge_at)
GO

CREATE TABLE [FactEdAttendance] (
    attendance_key BIGINT NOT NULL,
    visit_id NVARCHAR(128) NOT NULL,
    patient_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NULL,
    arrival_time_key BIGINT NOT NULL,
    departure_time_key BIGINT NOT NULL,
    arrival_at DATETIME2(6) NOT NULL,
    triage_at DATETIME2(6) NULL,
    seen_at DATETIME2(6) NULL,
    decision_at DATETIME2(6) NULL,
    departure_at DATETIME2(6) NULL,
    outcome NVARCHAR(64) NULL,
    minutes_to_triage FLOAT(53) NULL,
    minutes_to_seen FLOAT(53) NULL,
    minutes_in_department FLOAT(53) NULL,
    boarding_minutes FLOAT(53) NULL,
    quality_flags NVARCHAR(2000) NOT NULL,
    last_confirmed_at DATETIME2(6) NULL,
    confirmed_until DATETIME2(6) NULL,
    last_enqueued_at DATETIME2(6) NOT NULL,
    PRIMARY KEY NONCLUSTERED (arrival_time_key, attendance_key) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(attendance_key), CLUSTERED INDEX (arrival_time_key, attendance_key))
GO

CREATE STATISTICS [st_FactEdAttendance_attendance_key] ON [FactEdAttendance] (attendance_key)
GO

CREATE STATISTICS [st_FactEdAttendance_patient_key] ON [FactEdAttendance] (patient_key)
GO

CREATE STATISTICS [st_FactEdAttendance_department_key] ON [FactEdAttendance] (department_key)
GO

CREATE STATISTICS [st_FactEdAttendance_gender] ON [FactEdAttendance] (gender)
GO

CREATE STATISTICS [st_FactEdAttendance_arrival_time_key] ON [FactEdAttendance] (arrival_time_key)
GO

CREATE STATISTICS [st_FactEdAttendance_departure_time_key] ON [FactEdAttendance] (departure_time_key)
GO

CREATE STATISTICS [st_FactEdAttendance_departure_at] ON [FactEdAttendance] (departure_at)
GO

CREATE TABLE [FactBedCensus] (
    time_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NOT NULL,
    occupied_beds BIGINT NOT NULL,
    PRIMARY KEY NONCLUSTERED (time_key, department_key, gender) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(time_key), CLUSTERED INDEX (time_key, department_key))
GO

CREATE STATISTICS [st_FactBedCensus_time_key] ON [FactBedCensus] (time_key)
GO

CREATE STATISTICS [st_FactBedCensus_department_key] ON [FactBedCensus] (department_key)
GO

CREATE STATISTICS [st_FactBedCensus_gender] ON [FactBedCensus] (gender)
GO

CREATE TABLE [KpiDepartmentDay] (
    date DATE NOT NULL,
    department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NOT NULL,
    admissions BIGINT NOT NULL,
    day_cases BIGINT NOT NULL,
    transfers_in BIGINT NOT NULL,
    discharges BIGINT NOT NULL,
    early_discharges BIGINT NOT NULL,
    waits BIGINT NOT NULL,
    wait_minutes_sum FLOAT(53) NULL,
    wait_minutes_p50 FLOAT(53) NULL,
    wait_minutes_p90 FLOAT(53) NULL,
    waits_within_240 BIGINT NOT NULL,
    length_of_stay_hours_sum FLOAT(53) NULL,
    length_of_stay_hours_median FLOAT(53) NULL,
    nights_sum BIGINT NOT NULL,
    in_bed_hours_sum FLOAT(53) NULL,
    overstays BIGINT NOT NULL,
    occupied_bed_hours BIGINT NOT NULL,
    midnight_beds BIGINT NOT NULL,
    staffed_bed_hours FLOAT(53) NULL,
    attendances BIGINT NOT NULL,
    ed_departed BIGINT NOT NULL,
    ed_within_240 BIGINT NOT NULL,
    ed_over_480 BIGINT NOT NULL,
    ed_over_720 BIGINT NOT NULL,
    ed_left_without_being_seen BIGINT NOT NULL,
    ed_admitted BIGINT NOT NULL,
    ed_boarding_over_240 BIGINT NOT NULL,
    minutes_to_triage_p50 FLOAT(53) NULL,
    minutes_to_triage_p90 FLOAT(53) NULL,
    minutes_to_triage_p95 FLOAT(53) NULL,
    minutes_to_seen_p50 FLOAT(53) NULL,
    minutes_to_seen_p90 FLOAT(53) NULL,
    minutes_to_seen_p95 FLOAT(53) NULL,
    minutes_in_department_p50 FLOAT(53) NULL,
    minutes_in_department_p90 FLOAT(53) NULL,
    minutes_in_department_p95 FLOAT(53) NULL,
    boarding_minutes_p50 FLOAT(53) NULL,
    boarding_minutes_p90 FLOAT(53) NULL,
    boarding_minutes_p95 FLOAT(53) NULL,
    PRIMARY KEY NONCLUSTERED (date, department_key, gender) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, CLUSTERED INDEX (date, department_key))
GO

CREATE STATISTICS [st_KpiDepartmentDay_date] ON [KpiDepartmentDay] (date)
GO

CREATE STATISTICS [st_KpiDepartmentDay_department_key] ON [KpiDepartmentDay] (department_key)
GO

CREATE STATISTICS [st_KpiDepartmentDay_gender] ON [KpiDepartmentDay] (gender)
GO

CREATE TABLE [DataQualityDay] (
    date DATE NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    [rule] NVARCHAR(128) NOT NULL,
    accepted BIGINT NOT NULL,
    flagged BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    ignored BIGINT NOT NULL,
    PRIMARY KEY NONCLUSTERED (date, hospital_id, [rule]) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_DataQualityDay_date] ON [DataQualityDay] (date)
GO

CREATE STATISTICS [st_DataQualityDay_hospital_id] ON [DataQualityDay] (hospital_id)
GO

CREATE STATISTICS [st_DataQualityDay_rule] ON [DataQualityDay] ([rule])
GO

CREATE TABLE [ForecastBeds] (
    forecast_key BIGINT NOT NULL,
    made_at DATETIME2(6) NOT NULL,
    target_at DATETIME2(6) NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NOT NULL,
    expected_beds FLOAT(53) NULL,
    p025 FLOAT(53) NULL,
    p05 FLOAT(53) NULL,
    p10 FLOAT(53) NULL,
    p25 FLOAT(53) NULL,
    p50 FLOAT(53) NULL,
    p75 FLOAT(53) NULL,
    p90 FLOAT(53) NULL,
    p95 FLOAT(53) NULL,
    p975 FLOAT(53) NULL,
    expected_admissions FLOAT(53) NULL,
    expected_discharges FLOAT(53) NULL,
    probability_full FLOAT(53) NULL,
    is_morning BIT NOT NULL,
    is_backcast BIT NOT NULL,
    PRIMARY KEY NONCLUSTERED (forecast_key) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_ForecastBeds_forecast_key] ON [ForecastBeds] (forecast_key)
GO

CREATE STATISTICS [st_ForecastBeds_made_at] ON [ForecastBeds] (made_at)
GO

CREATE STATISTICS [st_ForecastBeds_hospital_id] ON [ForecastBeds] (hospital_id)
GO

CREATE STATISTICS [st_ForecastBeds_department_key] ON [ForecastBeds] (department_key)
GO

CREATE STATISTICS [st_ForecastBeds_gender] ON [ForecastBeds] (gender)
GO

CREATE TABLE [ForecastArrivals] (
    forecast_key BIGINT NOT NULL,
    made_at DATETIME2(6) NOT NULL,
    target_at DATETIME2(6) NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    department_key BIGINT NOT NULL,
    expected FLOAT(53) NULL,
    p025 FLOAT(53) NULL,
    p05 FLOAT(53) NULL,
    p10 FLOAT(53) NULL,
    p25 FLOAT(53) NULL,
    p50 FLOAT(53) NULL,
    p75 FLOAT(53) NULL,
    p90 FLOAT(53) NULL,
    p95 FLOAT(53) NULL,
    p975 FLOAT(53) NULL,
    is_morning BIT NOT NULL,
    is_backcast BIT NOT NULL,
    PRIMARY KEY NONCLUSTERED (forecast_key) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_ForecastArrivals_forecast_key] ON [ForecastArrivals] (forecast_key)
GO

CREATE STATISTICS [st_ForecastArrivals_made_at] ON [ForecastArrivals] (made_at)
GO

CREATE STATISTICS [st_ForecastArrivals_hospital_id] ON [ForecastArrivals] (hospital_id)
GO

CREATE STATISTICS [st_ForecastArrivals_department_key] ON [ForecastArrivals] (department_key)
GO

CREATE TABLE [ForecastScore] (
    date DATE NOT NULL,
    horizon NVARCHAR(128) NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    department_key BIGINT NOT NULL,
    target_at DATETIME2(6) NOT NULL,
    occupied_beds FLOAT(53) NULL,
    absolute_error FLOAT(53) NULL,
    pinball_loss FLOAT(53) NULL,
    covered_80 FLOAT(53) NULL,
    covered_95 FLOAT(53) NULL,
    persistence_absolute_error FLOAT(53) NULL,
    persistence_pinball_loss FLOAT(53) NULL,
    persistence_covered_80 FLOAT(53) NULL,
    persistence_covered_95 FLOAT(53) NULL,
    week_ago_absolute_error FLOAT(53) NULL,
    week_ago_pinball_loss FLOAT(53) NULL,
    week_ago_covered_80 FLOAT(53) NULL,
    week_ago_covered_95 FLOAT(53) NULL,
    PRIMARY KEY NONCLUSTERED (date, horizon, hospital_id, department_key) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_ForecastScore_date] ON [ForecastScore] (date)
GO

CREATE STATISTICS [st_ForecastScore_horizon] ON [ForecastScore] (horizon)
GO

CREATE STATISTICS [st_ForecastScore_hospital_id] ON [ForecastScore] (hospital_id)
GO

CREATE STATISTICS [st_ForecastScore_department_key] ON [ForecastScore] (department_key)
GO

CREATE TABLE [ForecastShown] (
    forecast_key BIGINT NOT NULL,
    made_at DATETIME2(6) NOT NULL,
    target_at DATETIME2(6) NOT NULL,
    horizon_hours BIGINT NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    department_key BIGINT NOT NULL,
    gender NVARCHAR(32) NOT NULL,
    staffed_beds BIGINT NULL,
    source NVARCHAR(32) NULL,
    judged_days BIGINT NOT NULL,
    covered_80_pct FLOAT(53) NULL,
    covered_95_pct FLOAT(53) NULL,
    covers_too_little BIT NOT NULL,
    loses BIT NOT NULL,
    expected_beds FLOAT(53) NULL,
    p025 FLOAT(53) NULL,
    p05 FLOAT(53) NULL,
    p10 FLOAT(53) NULL,
    p25 FLOAT(53) NULL,
    p50 FLOAT(53) NULL,
    p75 FLOAT(53) NULL,
    p90 FLOAT(53) NULL,
    p95 FLOAT(53) NULL,
    p975 FLOAT(53) NULL,
    expected_admissions FLOAT(53) NULL,
    expected_discharges FLOAT(53) NULL,
    probability_full FLOAT(53) NULL,
    PRIMARY KEY NONCLUSTERED (forecast_key) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_ForecastShown_forecast_key] ON [ForecastShown] (forecast_key)
GO

CREATE STATISTICS [st_ForecastShown_hospital_id] ON [ForecastShown] (hospital_id)
GO

CREATE STATISTICS [st_ForecastShown_department_key] ON [ForecastShown] (department_key)
GO

CREATE STATISTICS [st_ForecastShown_gender] ON [ForecastShown] (gender)
GO

CREATE TABLE [AccessLog] (
    at DATETIME2(6) NOT NULL,
    viewer NVARCHAR(512) NOT NULL,
    what NVARCHAR(2000) NOT NULL,
    scope NVARCHAR(2000) NOT NULL,
    kind NVARCHAR(128) NOT NULL,
    request_id NVARCHAR(128) NOT NULL,
    chain NVARCHAR(128) NOT NULL,
    number BIGINT NOT NULL,
    previous_hash NVARCHAR(128) NOT NULL,
    hash NVARCHAR(128) NOT NULL,
    PRIMARY KEY NONCLUSTERED (chain, number) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_AccessLog_chain] ON [AccessLog] (chain)
GO

CREATE STATISTICS [st_AccessLog_number] ON [AccessLog] (number)
GO

CREATE TABLE [AggregateDay] (
    date DATE NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    department NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NOT NULL,
    gender NVARCHAR(128) NOT NULL,
    month DATE NOT NULL,
    is_month_end BIT NOT NULL,
    admissions BIGINT NULL,
    discharges BIGINT NULL,
    patients_at_midnight BIGINT NULL,
    staffed_beds BIGINT NULL,
    attendances BIGINT NULL,
    departures BIGINT NULL,
    within_240 BIGINT NULL,
    waits BIGINT NULL,
    wait_minutes_sum BIGINT NULL,
    threshold INTEGER NOT NULL,
    published_at DATETIME2(6) NOT NULL,
    PRIMARY KEY NONCLUSTERED (date, hospital_id, department, gender) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_AggregateDay_date] ON [AggregateDay] (date)
GO

CREATE STATISTICS [st_AggregateDay_hospital_id] ON [AggregateDay] (hospital_id)
GO

CREATE STATISTICS [st_AggregateDay_department] ON [AggregateDay] (department)
GO

CREATE STATISTICS [st_AggregateDay_gender] ON [AggregateDay] (gender)
GO

CREATE TABLE [LoadLog] (
    table_name NVARCHAR(128) NOT NULL,
    gold_version BIGINT NULL,
    gold_table_id BIGINT NULL,
    loaded_at DATETIME2(6) NULL,
    newest_event_at DATETIME2(6) NULL,
    lag_seconds FLOAT(53) NULL,
    rows_written BIGINT NULL,
    run_id NVARCHAR(128) NULL,
    figures_version BIGINT NULL,
    figures_changed_at DATETIME2(6) NULL,
    PRIMARY KEY NONCLUSTERED (table_name) NOT ENFORCED
)
WITH (DISTRIBUTION = ROUND_ROBIN, HEAP)
GO

CREATE STATISTICS [st_LoadLog_table_name] ON [LoadLog] (table_name)
GO

INSERT INTO [LoadLog] (table_name) SELECT N'DimTime' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'DimTime'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'DimDepartment' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'DimDepartment'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'DimPatient' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'DimPatient'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'FactPatientFlow' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'FactPatientFlow'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'FactEdAttendance' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'FactEdAttendance'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'FactBedCensus' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'FactBedCensus'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'KpiDepartmentDay' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'KpiDepartmentDay'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'DataQualityDay' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'DataQualityDay'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'ForecastBeds' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'ForecastBeds'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'ForecastArrivals' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'ForecastArrivals'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'ForecastScore' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'ForecastScore'))
GO

INSERT INTO [LoadLog] (table_name) SELECT N'ForecastShown' AS table_name
WHERE NOT (EXISTS (SELECT *
FROM [LoadLog]
WHERE [LoadLog].table_name = N'ForecastShown'))
GO

CREATE VIEW [BedOccupancyHourly] AS
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
    CASE WHEN t.is_day_start = 1 THEN CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) END AS midnight_occupied_beds,
    CASE WHEN t.is_day_start = 1 THEN d.staffed_beds END AS midnight_staffed_beds
FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = 1 THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM [DimDepartment] o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM [DimDepartment] e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN [DimTime] h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM [DimTime] i
        JOIN [FactBedCensus] j ON j.time_key = i.time_key
        JOIN [DimDepartment] k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
LEFT JOIN [FactBedCensus] c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, t.is_day_start,
    d.hospital_id, d.hospital_name, d.department, d.class, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0
/* definition 51e8131f5b9c */
GO

CREATE VIEW [BedOccupancyByGender] AS
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
    CAST(SUM(CASE WHEN t.is_day_start = 1 THEN COALESCE(c.occupied_beds, 0) END) AS BIGINT) AS midnight_occupied_beds,
    CAST(SUM(CASE WHEN t.is_day_start = 1 THEN d.staffed_beds END) AS BIGINT) AS midnight_staffed_beds,
    100 * CAST(SUM(CASE WHEN t.is_day_start = 1 THEN COALESCE(c.occupied_beds, 0) END) AS FLOAT) / NULLIF(SUM(CASE WHEN t.is_day_start = 1 THEN d.staffed_beds END), 0) AS midnight_occupancy_pct
FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = 1 THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM [DimDepartment] o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM [DimDepartment] e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN [DimTime] h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM [DimTime] i
        JOIN [FactBedCensus] j ON j.time_key = i.time_key
        JOIN [DimDepartment] k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
CROSS JOIN (SELECT 'Female' AS gender UNION ALL SELECT 'Male' AS gender UNION ALL SELECT 'Other' AS gender UNION ALL SELECT 'Unknown' AS gender) g
LEFT JOIN [FactBedCensus] c
    ON c.time_key = t.time_key AND c.department_key = d.department_key AND c.gender = g.gender
GROUP BY t.date, d.hospital_id, d.department, g.gender
HAVING COUNT(d.staffed_beds) > 0 OR COUNT(c.occupied_beds) > 0
/* definition d47c34a867c7 */
GO

CREATE VIEW [AdmissionsDaily] AS
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
            SUM(CASE WHEN f.is_visit_start = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1) THEN 1 ELSE 0 END) AS admissions,
            SUM(CASE WHEN f.is_visit_start = 1 AND f.is_day_case = 1 THEN 1 ELSE 0 END) AS day_cases,
            SUM(CASE WHEN f.is_transfer = 1 THEN 1 ELSE 0 END) AS transfers_in,
            0 AS discharges,
            0 AS early_discharges,
            COUNT(DISTINCT f.visit_id) AS visits
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
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
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1)
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) begun_and_ended
) cells
WHERE place = 1
/* definition cbb342e8d0f8 */
GO

CREATE VIEW [WaitingTimes] AS
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
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.admission_time_key = t.time_key AND f.is_visit_start = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1) AND f.wait_minutes IS NOT NULL
    ) ranked
) cells
WHERE place = 0
/* definition 4dd52db9c652 */
GO

CREATE VIEW [LengthOfStay] AS
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
                FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
                WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1) AND f.visit_length_of_stay_hours IS NOT NULL
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
            SUM((CAST(DATEDIFF_BIG(MICROSECOND, v.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000))
        FROM [FactPatientFlow] f
CROSS JOIN [FactPatientFlow] v
CROSS JOIN [DimTime] t
CROSS JOIN [DimDepartment] d
        WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key
            AND v.is_visit_start = 1 AND (v.is_day_case IS NULL OR v.is_day_case <> 1) AND (v.is_observation IS NULL OR v.is_observation <> 1)
            AND f.stay_kind = 'ward'
            AND t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) ended_and_open
) cells
WHERE place = 1
/* definition 31b9651f1826 */
GO

CREATE VIEW [CurrentPatients] AS
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
    CAST(CASE WHEN stay_hours > expected_los_hours THEN 1 ELSE 0 END AS BIT) AS is_overstay
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
        (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) AS stay_hours,
        (CAST(DATEDIFF_BIG(MICROSECOND, v.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) AS visit_hours,
        d.expected_los_hours
    FROM [FactPatientFlow] f
CROSS JOIN [FactPatientFlow] v
CROSS JOIN [DimTime] t
CROSS JOIN [DimDepartment] d
    LEFT JOIN [DimPatient] p ON p.patient_key = f.patient_key
    WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key AND v.stay_number = 1 AND t.time_key = f.admission_time_key
) stays
/* definition fbb9b60f1abd */
GO

CREATE VIEW [DepartmentInflow] AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END AS from_department,
    f.gender,
    CAST(SUM(CASE WHEN f.is_visit_start = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1) THEN 1 ELSE 0 END) AS BIGINT) AS admissions,
    CAST(SUM(CASE WHEN f.is_transfer = 1 THEN 1 ELSE 0 END) AS BIGINT) AS transfers_in,
    CAST(COUNT(*) AS BIGINT) AS patients
FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
LEFT JOIN [DimDepartment] o ON o.department_key = f.from_department_key
WHERE f.admission_time_key = t.time_key
    AND ((f.is_visit_start = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1)) OR f.is_transfer = 1)
GROUP BY
    t.date,
    d.hospital_id,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END,
    f.gender
/* definition 592fa3544a81 */
GO

CREATE VIEW [Overstays] AS
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
    CAST(CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS BIT) AS is_open,
    f.length_of_stay_hours AS stay_hours,
    d.expected_los_hours,
    f.length_of_stay_hours - d.expected_los_hours AS hours_over
FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.length_of_stay_hours > d.expected_los_hours
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
    CAST(CASE WHEN 1 = 1 THEN 1 ELSE 0 END AS BIT),
    (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000),
    d.expected_los_hours,
    (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) - d.expected_los_hours
FROM [FactPatientFlow] f
CROSS JOIN [FactPatientFlow] v
CROSS JOIN [DimTime] t
CROSS JOIN [DimDepartment] d
WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key AND v.stay_number = 1 AND t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME())) AND (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) > d.expected_los_hours
/* definition f0c92383151b */
GO

CREATE VIEW [BedTurnover] AS
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
        FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred = 1 THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM [DimDepartment] o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM [DimDepartment] e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM [FactBedCensus] GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN [DimTime] h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM [DimTime] i
        JOIN [FactBedCensus] j ON j.time_key = i.time_key
        JOIN [DimDepartment] k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )
        WHERE d.staffed_beds IS NOT NULL
        GROUP BY t.date, d.hospital_id, d.department
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, NULL, 0, COUNT(*)
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1)
        GROUP BY t.date, d.hospital_id, d.department
    ) beds_and_discharges
) days
WHERE place = 1
/* definition 0e1c6e7250c5 */
GO

CREATE VIEW [Readmissions] AS
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
        CAST(COUNT(DISTINCT CASE WHEN DATEADD(DAY, 30, f.discharge_at) <= SYSUTCDATETIME() THEN f.stay_key END) AS BIGINT)
            AS discharges,
        CAST(
            COUNT(DISTINCT CASE
                WHEN DATEADD(DAY, 30, f.discharge_at) <= SYSUTCDATETIME() AND n.stay_key IS NOT NULL THEN f.stay_key
            END) AS BIGINT
        ) AS readmissions,
        CAST(
            COUNT(DISTINCT CASE
                WHEN DATEADD(DAY, 30, f.discharge_at) <= SYSUTCDATETIME() AND n.admission_type = 'emergency'
                THEN f.stay_key
            END) AS BIGINT
        ) AS emergency_readmissions,
        CAST(COUNT(DISTINCT CASE WHEN DATEADD(DAY, 30, f.discharge_at) > SYSUTCDATETIME() THEN f.stay_key END) AS BIGINT)
            AS discharges_pending
    FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
    JOIN [DimPatient] p ON p.patient_key = f.patient_key
    LEFT JOIN [DimPatient] a ON a.patient_id = p.patient_id
    LEFT JOIN [FactPatientFlow] n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = 1 AND (n.is_day_case IS NULL OR n.is_day_case <> 1) AND (n.is_observation IS NULL OR n.is_observation <> 1)
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= DATEADD(DAY, 30, f.discharge_at)
        AND NOT EXISTS (
            SELECT 1
            FROM [DimPatient] b
            JOIN [FactPatientFlow] x ON x.patient_key = b.patient_key
            WHERE b.patient_id = p.patient_id
                AND x.is_visit_end = 1 AND (x.is_day_case IS NULL OR x.is_day_case <> 1) AND (x.is_observation IS NULL OR x.is_observation <> 1)
                AND x.discharge_status = 'transferred'
                AND x.visit_id <> n.visit_id
                AND x.admission_at < n.admission_at
                AND x.discharge_at <= DATEADD(DAY, 1, n.admission_at)
                AND n.admission_at <= DATEADD(DAY, 1, x.discharge_at)
        )
    WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1 AND (f.is_day_case IS NULL OR f.is_day_case <> 1) AND (f.is_observation IS NULL OR f.is_observation <> 1)
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status NOT IN ('deceased', 'transferred'))
    GROUP BY t.date, d.hospital_id, d.department, f.gender
) cells
/* definition 3c70403bf6b6 */
GO

CREATE VIEW [BedsNow] AS
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
FROM [DimDepartment] d
LEFT JOIN (
    SELECT
        o.hospital_id,
        o.department,
        COUNT(*) AS everybody,
        SUM(CASE WHEN f.gender = 'Female' THEN 1 ELSE 0 END) AS women,
        SUM(CASE WHEN f.gender = 'Male' THEN 1 ELSE 0 END) AS men
    FROM [FactPatientFlow] f
    JOIN [DimDepartment] o ON o.department_key = f.department_key
    WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
    GROUP BY o.hospital_id, o.department
) n ON n.hospital_id = d.hospital_id AND n.department = d.department
WHERE d.valid_from <= SYSUTCDATETIME()
    AND (d.valid_to IS NULL OR d.valid_to > SYSUTCDATETIME())
    AND (d.staffed_beds IS NOT NULL OR n.everybody > 0)
/* definition 8417e3659de2 */
GO

CREATE VIEW [BedsExpected] AS
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
FROM [ForecastShown] f
JOIN (
    SELECT p.hospital_id, MAX(p.hospital_name) AS hospital_name FROM [DimDepartment] p GROUP BY p.hospital_id
) n ON n.hospital_id = f.hospital_id
LEFT JOIN [DimDepartment] d ON d.department_key = f.department_key AND f.department_key <> 0
WHERE f.gender = 'All' AND f.source IS NOT NULL
/* definition 59f6b1cad0af */
GO

CREATE VIEW [EmergencyNow] AS
SELECT
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
    CAST(COUNT(*) AS BIGINT) AS in_department,
    CAST(SUM(CASE WHEN a.decision_at <= SYSUTCDATETIME() THEN 1 ELSE 0 END) AS BIGINT) AS waiting_for_bed,
    CAST(SUM(CASE WHEN (CAST(DATEDIFF_BIG(MICROSECOND, a.decision_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) > 4 THEN 1 ELSE 0 END) AS BIGINT) AS boarding_over_240,
    MAX(CASE WHEN a.decision_at <= SYSUTCDATETIME() THEN (CAST(DATEDIFF_BIG(MICROSECOND, a.decision_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) * 60 END) AS longest_wait_minutes,
    MAX((CAST(DATEDIFF_BIG(MICROSECOND, a.arrival_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) * 60) AS longest_stay_minutes
FROM [FactEdAttendance] a
JOIN [DimDepartment] d ON d.department_key = a.department_key
WHERE a.arrival_at <= SYSUTCDATETIME()
AND (a.departure_at IS NULL OR a.departure_at > SYSUTCDATETIME())
AND (a.confirmed_until IS NULL OR a.confirmed_until >= SYSUTCDATETIME())
GROUP BY d.hospital_id, d.department
/* definition 137a8291b1cc */
GO

CREATE VIEW [EmergencyDaily] AS
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
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_departed,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND minutes_in_department <= 240 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_within_240,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND minutes_in_department > 480 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_over_480,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND minutes_in_department > 720 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_over_720,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND outcome = 'left_without_being_seen' THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_left_without_being_seen,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND outcome = 'admitted' THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_admitted,
        CAST(SUM(CASE WHEN departure_at <= SYSUTCDATETIME() AND boarding_minutes > 240 THEN 1 ELSE 0 END) OVER (PARTITION BY date, hospital_id, department, gender) AS BIGINT) AS ed_boarding_over_240,
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
                CASE WHEN a.departure_at <= SYSUTCDATETIME() THEN a.minutes_in_department END AS minutes_in_department,
                CASE WHEN a.departure_at <= SYSUTCDATETIME() THEN a.boarding_minutes END AS boarding_minutes
            FROM [DimTime] t
CROSS JOIN [FactEdAttendance] a
JOIN [DimDepartment] d ON d.department_key = a.department_key
            WHERE a.arrival_time_key = t.time_key
        ) attended
    ) ranked
) cells
WHERE place = 1
/* definition 1c56cc9271e8 */
GO

CREATE VIEW [ExpectedDischarges] AS
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
FROM (SELECT MAX(m.time_key) AS time_key FROM [DimTime] m
    WHERE m.time_key <= (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME())) AND m.is_day_start = 1) first_hour
JOIN [DimTime] t ON t.time_key = first_hour.time_key
CROSS JOIN (SELECT MIN(m.time_key) AS time_key FROM [DimTime] m
    WHERE m.time_key > (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME())) AND m.is_day_start = 1) next_day
JOIN [DimTime] tomorrow ON tomorrow.time_key = next_day.time_key
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
    AND f.planned_discharge_at >= t.hour_start_at
    AND f.planned_discharge_at < tomorrow.hour_start_at
/* definition 329649e595a6 */
GO

CREATE VIEW [DelayedDischarges] AS
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
    (CAST(DATEDIFF_BIG(MICROSECOND, COALESCE(f.ready_at, f.planned_discharge_at), SYSUTCDATETIME()) AS FLOAT) / 3600000000) AS delay_hours
FROM [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME()) AND COALESCE(f.ready_at, f.planned_discharge_at) <= SYSUTCDATETIME()
/* definition c2e7c7701a8a */
GO

CREATE VIEW [LongStays] AS
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
    CAST(CASE WHEN nights >= 14 THEN 1 ELSE 0 END AS BIT) AS has_14_nights,
    CAST(CASE WHEN nights >= 21 THEN 1 ELSE 0 END AS BIT) AS has_21_nights
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
    FROM [FactPatientFlow] f
    CROSS JOIN [FactPatientFlow] w
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    LEFT JOIN [DimTime] m
        ON m.time_key > w.admission_time_key
        AND m.time_key <= (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))
        AND (w.discharge_at IS NULL OR w.discharge_at > SYSUTCDATETIME() OR m.time_key <= w.discharge_time_key)
        AND m.is_day_start = 1
    WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND (f.confirmed_until IS NULL OR f.confirmed_until >= SYSUTCDATETIME())
        AND f.stay_kind = 'ward'
        AND w.arrival_time_key = f.arrival_time_key
        AND w.visit_id = f.visit_id
        AND w.stay_kind = 'ward'
        AND w.admission_at <= SYSUTCDATETIME()
    GROUP BY
        f.stay_key, f.visit_id, d.hospital_id, d.hospital_name, d.department, f.gender, f.bed_id, f.admission_at
) stays
WHERE nights >= 7
/* definition 923fad3a2f02 */
GO

CREATE VIEW [UnconfirmedStays] AS
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
    (CAST(DATEDIFF_BIG(MICROSECOND, f.confirmed_until, SYSUTCDATETIME()) AS FLOAT) / 3600000000) AS unconfirmed_hours
FROM [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.confirmed_until < SYSUTCDATETIME() AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
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
    (CAST(DATEDIFF_BIG(MICROSECOND, a.confirmed_until, SYSUTCDATETIME()) AS FLOAT) / 3600000000)
FROM [FactEdAttendance] a
JOIN [DimDepartment] d ON d.department_key = a.department_key
WHERE a.confirmed_until < SYSUTCDATETIME() AND (a.departure_at IS NULL OR a.departure_at > SYSUTCDATETIME())
/* definition a86a5460d1d8 */
GO

CREATE VIEW [DataFreshness] AS
SELECT
    l.table_name,
    l.gold_version,
    l.loaded_at,
    l.newest_event_at,
    l.lag_seconds,
    (CAST(DATEDIFF_BIG(MICROSECOND, l.newest_event_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) * 3600 AS age_seconds,
    l.rows_written,
    l.run_id,
    l.figures_changed_at
FROM [LoadLog] l
/* definition cdf56c040a2c */
GO

CREATE VIEW [AccessLogHeads] AS
SELECT l.chain, l.number, l.hash
FROM [AccessLog] l
JOIN (SELECT chain, MAX(number) AS number FROM [AccessLog] GROUP BY chain) newest
    ON newest.chain = l.chain AND newest.number = l.number
/* definition 0d4ff51df3cb */
GO

CREATE VIEW [AggregateMonth] AS
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
FROM [AggregateDay] a
JOIN [AggregateDay] closed
    ON closed.month = a.month AND closed.hospital_id = a.hospital_id
    AND closed.is_month_end = 1 AND closed.department = '' AND closed.gender = ''
GROUP BY a.month, a.hospital_id, a.department, a.gender
/* definition 2aac6211a757 */
GO
