DO $$ BEGIN CREATE ROLE patient_flow_loader NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE patient_flow_reader NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE patient_flow_dashboard NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

DO $$ BEGIN CREATE ROLE patient_flow_aggregates NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;

GRANT SELECT, INSERT, DELETE ON "DimTime", "DimDepartment", "DimPatient", "FactPatientFlow", "FactEdAttendance", "FactBedCensus", "KpiDepartmentDay", "DataQualityDay", "ForecastBeds", "ForecastArrivals", "ForecastScore", "ForecastShown" TO patient_flow_loader;

GRANT SELECT, UPDATE ON "LoadLog" TO patient_flow_loader;

GRANT SELECT ON "DimTime", "DimDepartment", "DimPatient", "FactPatientFlow", "FactEdAttendance", "FactBedCensus", "KpiDepartmentDay", "DataQualityDay", "ForecastBeds", "ForecastArrivals", "ForecastScore", "ForecastShown", "BedOccupancyHourly", "BedOccupancyByGender", "AdmissionsDaily", "WaitingTimes", "LengthOfStay", "CurrentPatients", "DepartmentInflow", "Overstays", "BedTurnover", "Readmissions", "BedsNow", "BedsExpected", "EmergencyNow", "EmergencyDaily", "ExpectedDischarges", "DelayedDischarges", "LongStays", "UnconfirmedStays", "DataFreshness", "LoadLog" TO patient_flow_reader, patient_flow_loader;

GRANT SELECT ON "DimTime", "DimDepartment", "DimPatient", "FactPatientFlow", "FactEdAttendance", "FactBedCensus", "KpiDepartmentDay", "DataQualityDay", "ForecastBeds", "ForecastArrivals", "ForecastScore", "ForecastShown", "LoadLog" TO patient_flow_dashboard;

GRANT INSERT ON "AccessLog" TO patient_flow_dashboard;

GRANT SELECT, INSERT, DELETE ON "AccessLog" TO patient_flow_loader;

GRANT SELECT ON "AccessLogHeads" TO patient_flow_dashboard, patient_flow_loader;

GRANT SELECT, INSERT ON "AggregateDay" TO patient_flow_loader;

GRANT SELECT ON "AggregateDay", "AggregateMonth" TO patient_flow_aggregates, patient_flow_dashboard, patient_flow_loader;

CREATE TABLE "ReaderScope" (
    principal_name NAME NOT NULL,
    hospital_id VARCHAR(64),
    department VARCHAR(64)
);

COMMENT ON TABLE "ReaderScope" IS 'Whose rows a user or role sees; NULL stands for all.';

CREATE OR REPLACE FUNCTION visible_departments() RETURNS SETOF BIGINT
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.department_key
    FROM "DimDepartment" d
    JOIN "ReaderScope" s
        ON (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)
        AND (s.department IS NULL OR s.department = d.department)
    JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name
    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'member');
END;

CREATE OR REPLACE FUNCTION sees_everything() RETURNS BOOLEAN
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT 1
        FROM "ReaderScope" s
        JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name
        WHERE s.hospital_id IS NULL AND s.department IS NULL
            AND pg_catalog.pg_has_role(session_user, r.oid, 'member')
    );
END;

CREATE OR REPLACE FUNCTION visible_hospitals() RETURNS SETOF VARCHAR
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT d.hospital_id
    FROM "DimDepartment" d
    JOIN "ReaderScope" s
        ON s.department IS NULL
        AND (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)
    JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name
    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'member');
END;

REVOKE ALL ON FUNCTION visible_departments(), sees_everything(), visible_hospitals() FROM PUBLIC;

GRANT EXECUTE ON FUNCTION visible_departments(), sees_everything(), visible_hospitals() TO patient_flow_reader, patient_flow_dashboard;

DO $$ BEGIN EXECUTE 'REVOKE CREATE ON SCHEMA ' || quote_ident(current_schema()) || ' FROM PUBLIC'; END $$;

ALTER TABLE "FactPatientFlow" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "FactPatientFlow" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "FactPatientFlow" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (department_key IN (SELECT visible_departments()));

ALTER TABLE "FactEdAttendance" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "FactEdAttendance" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "FactEdAttendance" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (department_key IN (SELECT visible_departments()));

ALTER TABLE "FactBedCensus" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "FactBedCensus" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "FactBedCensus" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (department_key IN (SELECT visible_departments()));

ALTER TABLE "KpiDepartmentDay" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "KpiDepartmentDay" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "KpiDepartmentDay" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (department_key IN (SELECT visible_departments()));

ALTER TABLE "DimDepartment" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "DimDepartment" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "DimDepartment" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (department_key IN (SELECT visible_departments()));

ALTER TABLE "ForecastBeds" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "ForecastBeds" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "ForecastBeds" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (CASE department_key WHEN 0 THEN hospital_id IN (SELECT visible_hospitals())
    ELSE department_key IN (SELECT visible_departments()) END);

ALTER TABLE "ForecastArrivals" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "ForecastArrivals" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "ForecastArrivals" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (CASE department_key WHEN 0 THEN hospital_id IN (SELECT visible_hospitals())
    ELSE department_key IN (SELECT visible_departments()) END);

ALTER TABLE "ForecastScore" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "ForecastScore" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "ForecastScore" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (CASE department_key WHEN 0 THEN hospital_id IN (SELECT visible_hospitals())
    ELSE department_key IN (SELECT visible_departments()) END);

ALTER TABLE "ForecastShown" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "ForecastShown" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "ForecastShown" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (CASE department_key WHEN 0 THEN hospital_id IN (SELECT visible_hospitals())
    ELSE department_key IN (SELECT visible_departments()) END);

ALTER TABLE "DataQualityDay" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "DataQualityDay" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "DataQualityDay" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING ((SELECT sees_everything()) OR hospital_id IN (SELECT d.hospital_id FROM "DimDepartment" d));

ALTER TABLE "AccessLog" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "AccessLog" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY views ON "AccessLog" FOR INSERT TO patient_flow_dashboard WITH CHECK (TRUE);

ALTER TABLE "DimPatient" ENABLE ROW LEVEL SECURITY;

CREATE POLICY loads ON "DimPatient" TO patient_flow_loader USING (TRUE) WITH CHECK (TRUE);

CREATE POLICY reads ON "DimPatient" FOR SELECT TO patient_flow_reader, patient_flow_dashboard USING (EXISTS (SELECT 1 FROM "FactPatientFlow" f WHERE f.patient_key = "DimPatient".patient_key)
    OR EXISTS (SELECT 1 FROM "FactEdAttendance" a WHERE a.patient_key = "DimPatient".patient_key));
