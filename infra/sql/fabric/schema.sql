IF SCHEMA_ID('staging') IS NULL EXEC('CREATE SCHEMA staging')
GO

CREATE TABLE [DimTime] (
    time_key BIGINT NOT NULL,
    hour_start_at DATETIME2(6) NULL,
    date DATE NULL,
    hour SMALLINT NULL,
    day_name VARCHAR(48) NULL,
    is_weekend BIT NULL,
    week SMALLINT NULL,
    month SMALLINT NULL,
    month_name VARCHAR(48) NULL,
    quarter SMALLINT NULL,
    year SMALLINT NULL,
    shift VARCHAR(48) NULL
)
GO

ALTER TABLE [DimTime] ADD CONSTRAINT [pk_DimTime] PRIMARY KEY NONCLUSTERED (time_key) NOT ENFORCED
GO

CREATE TABLE [DimDepartment] (
    department_key BIGINT NOT NULL,
    hospital_id VARCHAR(192) NOT NULL,
    hospital_name VARCHAR(384) NULL,
    department VARCHAR(192) NOT NULL,
    staffed_beds BIGINT NULL,
    staff BIGINT NULL,
    expected_los_hours FLOAT(53) NULL,
    is_inferred BIT NOT NULL,
    valid_from DATETIME2(6) NOT NULL,
    valid_to DATETIME2(6) NULL,
    is_current BIT NOT NULL
)
GO

ALTER TABLE [DimDepartment] ADD CONSTRAINT [pk_DimDepartment] PRIMARY KEY NONCLUSTERED (department_key) NOT ENFORCED
GO

CREATE TABLE [DimPatient] (
    patient_key BIGINT NOT NULL,
    patient_id VARCHAR(192) NOT NULL,
    gender VARCHAR(48) NULL,
    age SMALLINT NULL,
    age_band VARCHAR(48) NULL,
    valid_from DATETIME2(6) NOT NULL,
    valid_to DATETIME2(6) NULL,
    is_current BIT NOT NULL
)
GO

ALTER TABLE [DimPatient] ADD CONSTRAINT [pk_DimPatient] PRIMARY KEY NONCLUSTERED (patient_key) NOT ENFORCED
GO

CREATE TABLE [FactPatientFlow] (
    stay_key BIGINT NOT NULL,
    visit_id VARCHAR(192) NOT NULL,
    stay_number INTEGER NOT NULL,
    patient_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    from_department_key BIGINT NOT NULL,
    gender VARCHAR(48) NULL,
    arrival_time_key BIGINT NOT NULL,
    admission_time_key BIGINT NOT NULL,
    discharge_time_key BIGINT NOT NULL,
    arrival_at DATETIME2(6) NULL,
    admission_at DATETIME2(6) NOT NULL,
    discharge_at DATETIME2(6) NULL,
    wait_minutes FLOAT(53) NULL,
    wait_source VARCHAR(48) NULL,
    length_of_stay_hours FLOAT(53) NULL,
    visit_length_of_stay_hours FLOAT(53) NULL,
    is_visit_start BIT NOT NULL,
    is_visit_end BIT NOT NULL,
    bed_id VARCHAR(192) NULL,
    discharge_status VARCHAR(96) NULL,
    quality_flags VARCHAR(3000) NOT NULL,
    last_enqueued_at DATETIME2(6) NOT NULL
)
GO

ALTER TABLE [FactPatientFlow] ADD CONSTRAINT [pk_FactPatientFlow] PRIMARY KEY NONCLUSTERED (stay_key) NOT ENFORCED
GO

CREATE TABLE [FactBedCensus] (
    time_key BIGINT NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(48) NOT NULL,
    occupied_beds BIGINT NOT NULL
)
GO

ALTER TABLE [FactBedCensus] ADD CONSTRAINT [pk_FactBedCensus] PRIMARY KEY NONCLUSTERED (time_key, department_key, gender) NOT ENFORCED
GO

CREATE TABLE [KpiDepartmentDay] (
    date DATE NOT NULL,
    department_key BIGINT NOT NULL,
    gender VARCHAR(48) NOT NULL,
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
    staffed_bed_hours FLOAT(53) NULL
)
GO

ALTER TABLE [KpiDepartmentDay] ADD CONSTRAINT [pk_KpiDepartmentDay] PRIMARY KEY NONCLUSTERED (date, department_key, gender) NOT ENFORCED
GO

CREATE TABLE [DataQualityDay] (
    date DATE NOT NULL,
    hospital_id VARCHAR(192) NOT NULL,
    [rule] VARCHAR(192) NOT NULL,
    accepted BIGINT NOT NULL,
    flagged BIGINT NOT NULL,
    quarantined BIGINT NOT NULL
)
GO

ALTER TABLE [DataQualityDay] ADD CONSTRAINT [pk_DataQualityDay] PRIMARY KEY NONCLUSTERED (date, hospital_id, [rule]) NOT ENFORCED
GO

CREATE TABLE [LoadLog] (
    table_name VARCHAR(192) NOT NULL,
    gold_version BIGINT NULL,
    loaded_at DATETIME2(6) NULL,
    newest_event_at DATETIME2(6) NULL,
    lag_seconds FLOAT(53) NULL,
    rows_written BIGINT NULL,
    run_id VARCHAR(192) NULL
)
GO

ALTER TABLE [LoadLog] ADD CONSTRAINT [pk_LoadLog] PRIMARY KEY NONCLUSTERED (table_name) NOT ENFORCED
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
    CASE WHEN t.hour = 0 THEN CAST(COALESCE(SUM(c.occupied_beds), 0) AS BIGINT) END AS midnight_occupied_beds,
    CASE WHEN t.hour = 0 THEN d.staffed_beds END AS midnight_staffed_beds
FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
LEFT JOIN [FactBedCensus] c ON c.time_key = t.time_key AND c.department_key = d.department_key
GROUP BY
    t.time_key, t.hour_start_at, t.date, t.hour, d.hospital_id, d.hospital_name, d.department, d.staffed_beds
HAVING d.staffed_beds IS NOT NULL OR COUNT(c.occupied_beds) > 0
/* definition 5400b9439782 */
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
    CAST(SUM(CASE WHEN t.hour = 0 THEN COALESCE(c.occupied_beds, 0) END) AS BIGINT) AS midnight_occupied_beds,
    CAST(SUM(CASE WHEN t.hour = 0 THEN d.staffed_beds END) AS BIGINT) AS midnight_staffed_beds,
    100 * CAST(SUM(CASE WHEN t.hour = 0 THEN COALESCE(c.occupied_beds, 0) END) AS FLOAT)
        / NULLIF(SUM(CASE WHEN t.hour = 0 THEN d.staffed_beds END), 0) AS midnight_occupancy_pct
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
/* definition b6c647517d9c */
GO

CREATE VIEW [AdmissionsDaily] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    gender,
    CAST(SUM(admission) AS BIGINT) AS admissions,
    CAST(SUM(transfer_in) AS BIGINT) AS transfers_in,
    CAST(SUM(discharge) AS BIGINT) AS discharges,
    COUNT(DISTINCT begun_visit_id) AS visits
FROM (
    SELECT
        t.date,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        CASE WHEN f.is_visit_start = 1 THEN 1 ELSE 0 END AS admission,
        CASE WHEN f.from_department_key <> 0 THEN 1 ELSE 0 END AS transfer_in,
        0 AS discharge,
        f.visit_id AS begun_visit_id
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.admission_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    UNION ALL
    SELECT t.date, d.hospital_id, d.hospital_name, d.department, f.gender, 0, 0, 1, NULL
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.discharge_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    WHERE f.is_visit_end = 1 AND f.discharge_at <= SYSUTCDATETIME()
) moves
GROUP BY date, hospital_id, department, gender
/* definition c5b8e5347b06 */
GO

CREATE VIEW [WaitingTimes] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    gender,
    CAST(COUNT(*) AS BIGINT) AS waits,
    SUM(wait_minutes) AS wait_minutes_sum,
    AVG(wait_minutes) AS wait_minutes_mean,
    SUM(CASE WHEN ABS(place - 0.5 * last_place) < 1 THEN wait_minutes * (1 - ABS(place - 0.5 * last_place)) ELSE 0 END) AS wait_minutes_p50,
    SUM(CASE WHEN ABS(place - 0.9 * last_place) < 1 THEN wait_minutes * (1 - ABS(place - 0.9 * last_place)) ELSE 0 END) AS wait_minutes_p90,
    CAST(SUM(CASE WHEN wait_minutes <= 240 THEN 1 ELSE 0 END) AS BIGINT) AS waits_within_240,
    100 * CAST(SUM(CASE WHEN wait_minutes <= 240 THEN 1 ELSE 0 END) AS FLOAT) / COUNT(*) AS within_240_pct
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
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.admission_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    WHERE f.is_visit_start = 1 AND f.wait_minutes IS NOT NULL
) ranked
GROUP BY date, hospital_id, department, gender
/* definition d598c76984f9 */
GO

CREATE VIEW [LengthOfStay] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    gender,
    CAST(SUM(is_ended) AS BIGINT) AS ended_visits,
    SUM(ended_hours) AS length_of_stay_hours_sum,
    AVG(ended_hours) AS length_of_stay_hours_mean,
    CASE WHEN SUM(is_ended) > 0 THEN SUM(CASE WHEN ABS(place - 0.5 * last_place) < 1 THEN ended_hours * (1 - ABS(place - 0.5 * last_place)) ELSE 0 END) END AS length_of_stay_hours_median,
    CAST(SUM(1 - is_ended) AS BIGINT) AS open_visits,
    SUM(open_hours) AS current_stay_hours_sum,
    AVG(open_hours) AS current_stay_hours_mean
FROM (
    SELECT
        t.date,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        1 AS is_ended,
        f.visit_length_of_stay_hours AS ended_hours,
        CAST(NULL AS FLOAT) AS open_hours,
        ROW_NUMBER() OVER (
            PARTITION BY t.date, d.hospital_id, d.department, f.gender ORDER BY f.visit_length_of_stay_hours
        ) - 1 AS place,
        COUNT(*) OVER (PARTITION BY t.date, d.hospital_id, d.department, f.gender) - 1 AS last_place
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.discharge_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    WHERE f.is_visit_end = 1 AND f.discharge_at <= SYSUTCDATETIME() AND f.visit_length_of_stay_hours IS NOT NULL
    UNION ALL
    SELECT
        t.date,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        0,
        NULL,
        (CAST(DATEDIFF_BIG(MICROSECOND, v.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000),
        NULL,
        NULL
    FROM [FactPatientFlow] f
    JOIN [FactPatientFlow] v ON v.visit_id = f.visit_id AND v.stay_number = 1
    JOIN [DimTime] t ON t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    WHERE f.admission_at <= SYSUTCDATETIME() AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
) visits
GROUP BY date, hospital_id, department, gender
/* definition e3ca70a1071f */
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
    JOIN [FactPatientFlow] v ON v.visit_id = f.visit_id AND v.stay_number = 1
    JOIN [DimTime] t ON t.time_key = f.admission_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    LEFT JOIN [DimPatient] p ON p.patient_key = f.patient_key
    WHERE f.admission_at <= SYSUTCDATETIME() AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME())
) stays
/* definition 6b67a6f359ce */
GO

CREATE VIEW [DepartmentInflow] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    from_department,
    gender,
    CAST(SUM(admission) AS BIGINT) AS admissions,
    CAST(SUM(1 - admission) AS BIGINT) AS transfers_in,
    CAST(COUNT(*) AS BIGINT) AS patients
FROM (
    SELECT
        t.date,
        d.hospital_id,
        d.hospital_name,
        d.department,
        CASE WHEN f.from_department_key = 0 THEN 'Admission' ELSE COALESCE(o.department, 'Unknown') END
            AS from_department,
        f.gender,
        CASE WHEN f.from_department_key = 0 THEN 1 ELSE 0 END AS admission
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.admission_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    LEFT JOIN [DimDepartment] o ON o.department_key = f.from_department_key
    WHERE f.is_visit_start = 1 OR f.from_department_key <> 0
) moves
GROUP BY date, hospital_id, department, from_department, gender
/* definition 973f26537b6c */
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
FROM [FactPatientFlow] f
JOIN [DimTime] t ON t.time_key = f.discharge_time_key
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.discharge_at <= SYSUTCDATETIME() AND f.length_of_stay_hours > d.expected_los_hours
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
JOIN [DimTime] t ON t.time_key = (CAST(CONVERT(CHAR(8), SYSUTCDATETIME(), 112) AS BIGINT) * 100 + DATEPART(HOUR, SYSUTCDATETIME()))
JOIN [DimDepartment] d ON d.department_key = f.department_key
WHERE f.admission_at <= SYSUTCDATETIME() AND (f.discharge_at IS NULL OR f.discharge_at > SYSUTCDATETIME()) AND (CAST(DATEDIFF_BIG(MICROSECOND, f.admission_at, SYSUTCDATETIME()) AS FLOAT) / 3600000000) > d.expected_los_hours
/* definition 2e2fd6b50f11 */
GO

CREATE VIEW [BedTurnover] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    CAST(SUM(discharge) AS BIGINT) AS discharges,
    CAST(SUM(staffed_beds) AS BIGINT) AS staffed_bed_hours,
    CAST(COUNT(staffed_beds) AS BIGINT) AS hours,
    CAST(SUM(staffed_beds) AS FLOAT) / NULLIF(COUNT(staffed_beds), 0) AS average_staffed_beds,
    CAST(SUM(discharge) AS FLOAT) * COUNT(staffed_beds) / NULLIF(SUM(staffed_beds), 0) AS bed_turnover
FROM (
    SELECT t.date, d.hospital_id, d.hospital_name, d.department, d.staffed_beds, 0 AS discharge
    FROM (SELECT MIN(time_key) AS time_key FROM [FactBedCensus]) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM [FactBedCensus]) last_hour
JOIN [DimTime] t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN [DimDepartment] d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
    WHERE d.staffed_beds IS NOT NULL
    UNION ALL
    SELECT t.date, d.hospital_id, d.hospital_name, d.department, NULL, 1
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.discharge_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    WHERE f.is_visit_end = 1 AND f.discharge_at <= SYSUTCDATETIME()
) beds_and_discharges
GROUP BY date, hospital_id, department
/* definition ed37a5926e60 */
GO

CREATE VIEW [Readmissions] AS
SELECT
    date,
    hospital_id,
    MAX(hospital_name) AS hospital_name,
    department,
    gender,
    CAST(SUM(has_passed) AS BIGINT) AS discharges,
    CAST(SUM(CASE WHEN returns > 0 THEN has_passed ELSE 0 END) AS BIGINT) AS readmissions,
    100 * CAST(SUM(CASE WHEN returns > 0 THEN has_passed ELSE 0 END) AS FLOAT) / NULLIF(SUM(has_passed), 0)
        AS readmission_pct,
    CAST(SUM(1 - has_passed) AS BIGINT) AS discharges_pending
FROM (
    SELECT
        t.date,
        d.hospital_id,
        d.hospital_name,
        d.department,
        f.gender,
        f.stay_key,
        MAX(CASE WHEN DATEADD(DAY, 30, f.discharge_at) <= SYSUTCDATETIME() THEN 1 ELSE 0 END) AS has_passed,
        COUNT(n.stay_key) AS returns
    FROM [FactPatientFlow] f
    JOIN [DimTime] t ON t.time_key = f.discharge_time_key
    JOIN [DimDepartment] d ON d.department_key = f.department_key
    JOIN [DimPatient] p ON p.patient_key = f.patient_key
    LEFT JOIN [DimPatient] a ON a.patient_id = p.patient_id
    LEFT JOIN [FactPatientFlow] n
        ON n.patient_key = a.patient_key
        AND n.is_visit_start = 1
        AND n.visit_id <> f.visit_id
        AND n.admission_at >= f.discharge_at
        AND n.admission_at <= DATEADD(DAY, 30, f.discharge_at)
    WHERE f.is_visit_end = 1
        AND f.discharge_at <= SYSUTCDATETIME()
        AND f.patient_key <> 0
        AND (f.discharge_status IS NULL OR f.discharge_status <> 'deceased')
    GROUP BY t.date, d.hospital_id, d.hospital_name, d.department, f.gender, f.stay_key
) discharged
GROUP BY date, hospital_id, department, gender
/* definition a1939d1768aa */
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
