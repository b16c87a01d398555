CREATE ROLE patient_flow_loader
GO

CREATE ROLE patient_flow_reader
GO

CREATE ROLE patient_flow_dashboard
GO

CREATE ROLE patient_flow_aggregates
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.DimTime TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.DimDepartment TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.DimPatient TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.FactPatientFlow TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.FactEdAttendance TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.FactBedCensus TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.KpiDepartmentDay TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.DataQualityDay TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.ForecastBeds TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.ForecastArrivals TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.ForecastScore TO patient_flow_loader
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.ForecastShown TO patient_flow_loader
GO

GRANT SELECT, UPDATE ON OBJECT::dbo.LoadLog TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.BedOccupancyHourly TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.BedOccupancyByGender TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.AdmissionsDaily TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.WaitingTimes TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.LengthOfStay TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.CurrentPatients TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.DepartmentInflow TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.Overstays TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.BedTurnover TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.Readmissions TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.BedsNow TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.BedsExpected TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.EmergencyNow TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.EmergencyDaily TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.ExpectedDischarges TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.DelayedDischarges TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.LongStays TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.UnconfirmedStays TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.DataFreshness TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.AccessLogHeads TO patient_flow_loader
GO

GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.AggregateMonth TO patient_flow_loader
GO

GRANT CREATE TABLE TO patient_flow_loader
GO

GRANT ALTER, SELECT, INSERT ON SCHEMA::staging TO patient_flow_loader
GO

GRANT SELECT ON OBJECT::dbo.BedOccupancyHourly TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.BedOccupancyByGender TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.AdmissionsDaily TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.WaitingTimes TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.LengthOfStay TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.CurrentPatients TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.DepartmentInflow TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.Overstays TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.BedTurnover TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.Readmissions TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.BedsNow TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.BedsExpected TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.EmergencyNow TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.EmergencyDaily TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.ExpectedDischarges TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.DelayedDischarges TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.LongStays TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.UnconfirmedStays TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.DataFreshness TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.DimTime TO patient_flow_reader
GO

GRANT SELECT ON OBJECT::dbo.DimTime TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.DimDepartment TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.DimPatient TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.FactPatientFlow TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.FactEdAttendance TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.FactBedCensus TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.KpiDepartmentDay TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.DataQualityDay TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.ForecastBeds TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.ForecastArrivals TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.ForecastScore TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.ForecastShown TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.LoadLog TO patient_flow_dashboard
GO

GRANT INSERT ON OBJECT::dbo.AccessLog TO patient_flow_dashboard
GO

GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.AccessLog TO patient_flow_loader
GO

GRANT SELECT ON OBJECT::dbo.AccessLogHeads TO patient_flow_dashboard
GO

GRANT SELECT, INSERT ON OBJECT::dbo.AggregateDay TO patient_flow_loader
GO

GRANT SELECT ON OBJECT::dbo.AggregateDay TO patient_flow_aggregates
GO

GRANT SELECT ON OBJECT::dbo.AggregateMonth TO patient_flow_aggregates
GO

GRANT SELECT ON OBJECT::dbo.AggregateDay TO patient_flow_dashboard
GO

GRANT SELECT ON OBJECT::dbo.AggregateMonth TO patient_flow_dashboard
GO

DENY SELECT, UPDATE, DELETE ON OBJECT::dbo.AccessLog TO patient_flow_dashboard
GO

DENY SELECT, INSERT, UPDATE, DELETE ON OBJECT::dbo.AccessLog TO patient_flow_reader
GO

CREATE SCHEMA security
GO

CREATE TABLE security.ReaderScope (
    principal_name NVARCHAR(128) NOT NULL,
    hospital_id NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NULL,
    department NVARCHAR(128) COLLATE Latin1_General_100_BIN2 NULL
)
GO

CREATE FUNCTION security.sees_place(@hospital_id NVARCHAR(128), @department NVARCHAR(128))
RETURNS TABLE
WITH SCHEMABINDING
AS RETURN
    SELECT 1 AS is_visible
    FROM security.ReaderScope AS s
    WHERE (s.hospital_id IS NULL OR s.hospital_id = @hospital_id)
        AND (s.department IS NULL OR @department IS NULL OR s.department = @department)
        AND (s.principal_name = USER_NAME() OR IS_MEMBER(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1
GO

CREATE FUNCTION security.sees_department(@department_key BIGINT)
RETURNS TABLE
WITH SCHEMABINDING
AS RETURN
    SELECT 1 AS is_visible
    FROM dbo.DimDepartment AS d
    JOIN security.ReaderScope AS s
        ON (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)
        AND (s.department IS NULL OR s.department = d.department)
    WHERE d.department_key = @department_key
        AND (s.principal_name = USER_NAME() OR IS_MEMBER(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1
GO

CREATE FUNCTION security.sees_forecast(@hospital_id NVARCHAR(128), @department_key BIGINT)
RETURNS TABLE
WITH SCHEMABINDING
AS RETURN
    SELECT 1 AS is_visible
    FROM dbo.DimDepartment AS d
    JOIN security.ReaderScope AS s
        ON (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)
        AND (s.department IS NULL OR s.department = d.department)
    WHERE d.department_key = @department_key AND d.department_key <> 0
        AND (s.principal_name = USER_NAME() OR IS_MEMBER(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    FROM security.ReaderScope AS s
    WHERE @department_key = 0 AND s.department IS NULL
        AND (s.hospital_id IS NULL OR s.hospital_id = @hospital_id)
        AND (s.principal_name = USER_NAME() OR IS_MEMBER(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1
GO

CREATE SECURITY POLICY security.reader_scope
    ADD FILTER PREDICATE security.sees_department(department_key) ON dbo.FactPatientFlow,
    ADD FILTER PREDICATE security.sees_department(department_key) ON dbo.FactEdAttendance,
    ADD FILTER PREDICATE security.sees_department(department_key) ON dbo.FactBedCensus,
    ADD FILTER PREDICATE security.sees_department(department_key) ON dbo.KpiDepartmentDay,
    ADD FILTER PREDICATE security.sees_forecast(hospital_id, department_key) ON dbo.ForecastBeds,
    ADD FILTER PREDICATE security.sees_forecast(hospital_id, department_key) ON dbo.ForecastArrivals,
    ADD FILTER PREDICATE security.sees_forecast(hospital_id, department_key) ON dbo.ForecastScore,
    ADD FILTER PREDICATE security.sees_forecast(hospital_id, department_key) ON dbo.ForecastShown,
    ADD FILTER PREDICATE security.sees_place(hospital_id, department) ON dbo.DimDepartment,
    ADD FILTER PREDICATE security.sees_place(hospital_id, NULL) ON dbo.DataQualityDay
WITH (STATE = ON)
GO
