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
    PRIMARY KEY NONCLUSTERED (stay_key) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(stay_key), CLUSTERED COLUMNSTORE INDEX)
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
    PRIMARY KEY NONCLUSTERED (attendance_key) NOT ENFORCED
)
WITH (DISTRIBUTION = HASH(attendance_key), CLUSTERED INDEX (attendance_key))
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
    transfers_in BIGINT NOT NULL,
    discharges BIGINT NOT NULL,
    waits BIGINT NOT NULL,
    wait_minutes_sum FLOAT(53) NULL,
    wait_minutes_p50 FLOAT(53) NULL,
    wait_minutes_p90 FLOAT(53) NULL,
    waits_within_240 BIGINT NOT NULL,
    length_of_stay_hours_sum FLOAT(53) NULL,
    length_of_stay_hours_median FLOAT(53) NULL,
    overstays BIGINT NOT NULL,
    occupied_bed_hours BIGINT NOT NULL,
    midnight_beds BIGINT NOT NULL,
    staffed_bed_hours FLOAT(53) NULL,
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

CREATE TABLE [LoadLog] (
    table_name NVARCHAR(128) NOT NULL,
    gold_version BIGINT NULL,
    gold_table_id BIGINT NULL,
    loaded_at DATETIME2(6) NULL,
    newest_event_at DATETIME2(6) NULL,
    lag_seconds FLOAT(53) NULL,
    rows_written BIGINT NULL,
    run_id NVARCHAR(128) NULL,
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

CREATE VIEW [BedOccupancyHourly] AS
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
    CASE WHEN t.is_day_start = 1 THEN CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) END AS midnight_occupied_beds,
    CASE WHEN t.is_day_start = 1 THEN d.staffed_beds END AS midnight_staffed_beds
FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
LEFT JOIN [FactBedCensus] c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, t.is_day_start,
    d.hospital_id, d.hospital_name, d.department, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0
/* definition 8aeb39fef068 */
GO

CREATE VIEW [BedOccupancyByGender] AS
SELECT
    t.date,
    d.hospital_id,
    MAX(d.hospital_name) AS hospital_name,
    d.department,
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
CROSS JOIN (SELECT 'Female' AS gender UNION ALL SELECT 'Male' AS gender UNION ALL SELECT 'Other' AS gender UNION ALL SELECT 'Unknown' AS gender) g
LEFT JOIN [FactBedCensus] c
    ON c.time_key = t.time_key AND c.department_key = d.department_key AND c.gender = g.gender
GROUP BY t.date, d.hospital_id, d.department, g.gender
HAVING COUNT(d.staffed_beds) > 0 OR COUNT(c.occupied_beds) > 0
/* definition 3c65db1d9178 */
GO

CREATE VIEW [AdmissionsDaily] AS
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
            SUM(CASE WHEN f.is_visit_start = 1 THEN 1 ELSE 0 END) AS admissions,
            SUM(CASE WHEN f.from_department_key <> 0 THEN 1 ELSE 0 END) AS transfers_in,
            0 AS discharges,
            COUNT(DISTINCT f.visit_id) AS visits
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.admission_time_key = t.time_key
        GROUP BY t.date, d.hospital_id, d.department, f.gender
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, f.gender, 0, 0, COUNT(*), 0
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) begun_and_ended
) cells
WHERE place = 1
/* definition 6c56ac7e17b1 */
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
        WHERE f.admission_time_key = t.time_key AND f.is_visit_start = 1 AND f.wait_minutes IS NOT NULL
    ) ranked
) cells
WHERE place = 0
/* definition f7ca96ea8973 */
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
                FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
                WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1 AND f.visit_length_of_stay_hours IS NOT NULL
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
            SUM((CAST(DATEDIFF_BIG(MICROSECOND, v.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000))
        FROM [FactPatientFlow] f
CROSS JOIN [FactPatientFlow] v
CROSS JOIN [DimTime] t
CROSS JOIN [DimDepartment] d
        WHERE f.admission_at <= SYSUTCDATETIME()
AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))
        GROUP BY t.date, d.hospital_id, d.department, f.gender
    ) ended_and_open
) cells
WHERE place = 1
/* definition 55b9bdd97435 */
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
        f.discharge_at AS planned_discharge_at,
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
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = f.admission_time_key
) stays
/* definition 387596e37ba5 */
GO

CREATE VIEW [DepartmentInflow] AS
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
FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
LEFT JOIN [DimDepartment] o ON o.department_key = f.from_department_key
WHERE f.admission_time_key = t.time_key AND (f.is_visit_start = 1 OR f.from_department_key <> 0)
GROUP BY
    t.date,
    d.hospital_id,
    d.department,
    CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END,
    f.gender
/* definition 32cb464ddd6c */
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
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key AND t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME())) AND (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) > d.expected_los_hours
/* definition 7c37c1693b03 */
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
        WHERE d.staffed_beds IS NOT NULL
        GROUP BY t.date, d.hospital_id, d.department
        UNION ALL
        SELECT t.date, d.hospital_id, MAX(d.hospital_name), d.department, NULL, 0, COUNT(*)
        FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
        WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1
        GROUP BY t.date, d.hospital_id, d.department
    ) beds_and_discharges
) days
WHERE place = 1
/* definition 9ed62e10cdb7 */
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
        CAST(COUNT(DISTINCT CASE WHEN DATEADD(DAY, 30, f.discharge_at) > SYSUTCDATETIME() THEN f.stay_key END) AS BIGINT)
            AS discharges_pending
    FROM [DimTime] t
CROSS JOIN [FactPatientFlow] f
JOIN [DimDepartment] d ON d.department_key = f.department_key
    JOIN [DimPatient] p ON p.patient_key = f.patient_key
    LEFT JOIN [DimPatient] a ON a.patient_id = p.patient_id
    LEFT JOIN [FactPatientFlow] n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = 1
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= DATEADD(DAY, 30, f.discharge_at)
    WHERE f.discharge_time_key = t.time_key AND f.discharge_at <= SYSUTCDATETIME() AND f.is_visit_end = 1
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status <> 'deceased')
    GROUP BY t.date, d.hospital_id, d.department, f.gender
) cells
/* definition d1c6ef0c14c2 */
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
    l.run_id
FROM [LoadLog] l
/* definition 43a453b64054 */
GO
