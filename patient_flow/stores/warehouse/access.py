"""Access control as a script per target: roles for loader, readers and dashboard, and row-level security.

``ReaderScope`` lists, for a database user, role or group, the hospital and department whose rows it sees; NULL means
all. Others see nothing. The loader sees everything. An administrator runs the script once, after the tables were
created, and adds people by a ``GRANT`` of the role and a row in ``ReaderScope``.

Readers are people: they get the views. The dashboard is a program that reads tables and restricts its viewers itself;
its rows in ``ReaderScope`` restrict the dashboard as a whole.

The dashboard adds lines to the access log and reads the heads of its chains, nothing else of it; the loader reads and
prunes it; readers do not see it. Aggregate readers get the published days and months, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

from patient_flow.contracts.tables import DIM_DEPARTMENT, DIM_PATIENT, WAREHOUSE_TABLES, Table, has_totals
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.schema import ACCESS_LOG, ACCESS_LOG_HEADS, AGGREGATE_DAY, AGGREGATE_MONTH, LOAD_LOG

LOADER, READER, DASHBOARD = "patient_flow_loader", "patient_flow_reader", "patient_flow_dashboard"
AGGREGATES = "patient_flow_aggregates"

_TABLE_NAMES = tuple(table.warehouse_name for table in WAREHOUSE_TABLES)
_VIEW_NAMES = tuple(view.name for view in VIEWS)


def _has_department_key(table: Table) -> bool:
    return "department_key" in table.schema and table is not DIM_DEPARTMENT and not has_totals(table)


def _has_hospital_only(table: Table) -> bool:
    return "hospital_id" in table.schema and "department_key" not in table.schema


_BY_DEPARTMENT = tuple(table.warehouse_name for table in WAREHOUSE_TABLES if _has_department_key(table))
_WITH_TOTALS = tuple(table.warehouse_name for table in WAREHOUSE_TABLES if has_totals(table))
_BY_HOSPITAL = tuple(table.warehouse_name for table in WAREHOUSE_TABLES if _has_hospital_only(table))


def postgresql() -> list[str]:
    """Roles and policies; views run with the reader's rights (``security_invoker``), so that policies apply."""
    tables = [f'"{name}"' for name in _TABLE_NAMES]
    views = [f'"{name}"' for name in _VIEW_NAMES]
    functions = "visible_departments(), sees_everything(), visible_hospitals()"
    return [
        # Roles belong to the whole server: another database may have created them already.
        *(
            f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            for role in (LOADER, READER, DASHBOARD, AGGREGATES)
        ),
        f"GRANT SELECT, INSERT, DELETE ON {', '.join(tables)} TO {LOADER}",
        f'GRANT SELECT, UPDATE ON "{LOAD_LOG.name}" TO {LOADER}',
        f'GRANT SELECT ON {", ".join([*tables, *views])}, "{LOAD_LOG.name}" TO {READER}, {LOADER}',
        f'GRANT SELECT ON {", ".join(tables)}, "{LOAD_LOG.name}" TO {DASHBOARD}',
        f'GRANT INSERT ON "{ACCESS_LOG.name}" TO {DASHBOARD}',
        f'GRANT SELECT, INSERT, DELETE ON "{ACCESS_LOG.name}" TO {LOADER}',
        f'GRANT SELECT ON "{ACCESS_LOG_HEADS.name}" TO {DASHBOARD}, {LOADER}',
        f'GRANT SELECT, INSERT ON "{AGGREGATE_DAY.name}" TO {LOADER}',
        f'GRANT SELECT ON "{AGGREGATE_DAY.name}", "{AGGREGATE_MONTH.name}" TO {AGGREGATES}, {DASHBOARD}, {LOADER}',
        'CREATE TABLE "ReaderScope" (\n'
        "    principal_name NAME NOT NULL,\n    hospital_id VARCHAR(64),\n    department VARCHAR(64)\n)",
        "COMMENT ON TABLE \"ReaderScope\" IS 'Whose rows a user or role sees; NULL stands for all.'",
        # They run with the owner's rights, so that nobody needs access to ReaderScope, and once per query, not per row.
        # BEGIN ATOMIC binds every name when the function is created: no temporary table, operator or search path of a
        # caller can replace one. The join comes first, because pg_has_role raises an error for a dropped role.
        _owner_function(
            "visible_departments",
            "SETOF BIGINT",
            'SELECT d.department_key\n    FROM "DimDepartment" d\n    JOIN "ReaderScope" s\n'
            "        ON (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)\n"
            "        AND (s.department IS NULL OR s.department = d.department)\n"
            "    JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name\n"
            "    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'member')",
        ),
        _owner_function(
            "sees_everything",
            "BOOLEAN",
            'SELECT EXISTS (\n        SELECT 1\n        FROM "ReaderScope" s\n'
            "        JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name\n"
            "        WHERE s.hospital_id IS NULL AND s.department IS NULL\n"
            "            AND pg_catalog.pg_has_role(session_user, r.oid, 'member')\n    )",
        ),
        # Totals of hospitals are for readers of all their departments.
        _owner_function(
            "visible_hospitals",
            "SETOF VARCHAR",
            'SELECT d.hospital_id\n    FROM "DimDepartment" d\n    JOIN "ReaderScope" s\n'
            "        ON s.department IS NULL\n"
            "        AND (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)\n"
            "    JOIN pg_catalog.pg_roles r ON r.rolname = s.principal_name\n"
            "    WHERE pg_catalog.pg_has_role(session_user, r.oid, 'member')",
        ),
        f"REVOKE ALL ON FUNCTION {functions} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {functions} TO {READER}, {DASHBOARD}",
        # Before PostgreSQL 15 every role may create objects in the schema of the tables.
        "DO $$ BEGIN EXECUTE 'REVOKE CREATE ON SCHEMA ' || quote_ident(current_schema()) || ' FROM PUBLIC'; END $$",
        *(
            statement
            for name in [*_BY_DEPARTMENT, DIM_DEPARTMENT.warehouse_name]
            for statement in _policies(name, "department_key IN (SELECT visible_departments())")
        ),
        *(
            statement
            for name in _WITH_TOTALS
            for statement in _policies(
                name,
                "CASE department_key WHEN 0 THEN hospital_id IN (SELECT visible_hospitals())\n"
                "    ELSE department_key IN (SELECT visible_departments()) END",
            )
        ),
        # A hospital without accepted events has no department yet: only readers of everything see its rows.
        *(
            statement
            for name in _BY_HOSPITAL
            for statement in _policies(
                name, '(SELECT sees_everything()) OR hospital_id IN (SELECT d.hospital_id FROM "DimDepartment" d)'
            )
        ),
        # A grant on all tables of the schema opens it to nobody else.
        f'ALTER TABLE "{ACCESS_LOG.name}" ENABLE ROW LEVEL SECURITY',
        f'CREATE POLICY loads ON "{ACCESS_LOG.name}" TO {LOADER} USING (TRUE) WITH CHECK (TRUE)',
        f'CREATE POLICY views ON "{ACCESS_LOG.name}" FOR INSERT TO {DASHBOARD} WITH CHECK (TRUE)',
        # The policies of the facts apply inside this one: a patient is visible if a stay or an attendance of theirs is.
        *_policies(
            DIM_PATIENT.warehouse_name,
            'EXISTS (SELECT 1 FROM "FactPatientFlow" f WHERE f.patient_key = "DimPatient".patient_key)\n'
            '    OR EXISTS (SELECT 1 FROM "FactEdAttendance" a WHERE a.patient_key = "DimPatient".patient_key)',
        ),
    ]


def _owner_function(name: str, returns: str, query: str) -> str:
    """A function without arguments that runs ``query`` with its owner's rights."""
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS {returns}\n"
        "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n"
        f"BEGIN ATOMIC\n    {query};\nEND"
    )


def _policies(name: str, condition: str) -> list[str]:
    return [
        f'ALTER TABLE "{name}" ENABLE ROW LEVEL SECURITY',
        f'CREATE POLICY loads ON "{name}" TO {LOADER} USING (TRUE) WITH CHECK (TRUE)',
        f'CREATE POLICY reads ON "{name}" FOR SELECT TO {READER}, {DASHBOARD} USING ({condition})',
    ]


_PREDICATES = (
    """\
CREATE FUNCTION security.sees_place(@hospital_id TEXT, @department TEXT)
RETURNS TABLE
WITH SCHEMABINDING
AS RETURN
    SELECT 1 AS is_visible
    FROM security.ReaderScope AS s
    WHERE (s.hospital_id IS NULL OR s.hospital_id = @hospital_id)
        AND (s.department IS NULL OR @department IS NULL OR s.department = @department)
        AND (s.principal_name = USER_NAME() OR IS_ONE_OF(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1""",
    """\
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
        AND (s.principal_name = USER_NAME() OR IS_ONE_OF(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1""",
    """\
CREATE FUNCTION security.sees_forecast(@hospital_id TEXT, @department_key BIGINT)
RETURNS TABLE
WITH SCHEMABINDING
AS RETURN
    SELECT 1 AS is_visible
    FROM dbo.DimDepartment AS d
    JOIN security.ReaderScope AS s
        ON (s.hospital_id IS NULL OR s.hospital_id = d.hospital_id)
        AND (s.department IS NULL OR s.department = d.department)
    WHERE d.department_key = @department_key AND d.department_key <> 0
        AND (s.principal_name = USER_NAME() OR IS_ONE_OF(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    FROM security.ReaderScope AS s
    WHERE @department_key = 0 AND s.department IS NULL
        AND (s.hospital_id IS NULL OR s.hospital_id = @hospital_id)
        AND (s.principal_name = USER_NAME() OR IS_ONE_OF(s.principal_name) = 1)
    UNION ALL
    SELECT 1 AS is_visible
    WHERE IS_ROLEMEMBER('patient_flow_loader') = 1 OR IS_ROLEMEMBER('db_owner') = 1""",
)
"""Inline functions of the security policy: filter predicates, the only kind that dedicated pools have."""


def transact_sql(
    text_type: str, loader_grants: Iterable[str], *, collation: str = "", is_one_of: str = "IS_MEMBER"
) -> list[str]:
    """Roles and a security policy. Readers get the views and no tables; ownership chaining lets views read tables.

    The dashboard gets the tables. DimPatient has no filter (it has no hospital): that role is not for people.

    ``text_type`` is the type of the three columns of ``ReaderScope``. Hospital and department need the ``collation`` of
    the columns that they are compared with. ``is_one_of`` tests whether the user is a member of the named principal:
    IS_MEMBER accepts roles and groups, IS_ROLEMEMBER only roles.
    """
    place_type = f"{text_type} COLLATE {collation}" if collation else text_type
    filters = [
        *(f"security.sees_department(department_key) ON dbo.{name}" for name in _BY_DEPARTMENT),
        *(f"security.sees_forecast(hospital_id, department_key) ON dbo.{name}" for name in _WITH_TOTALS),
        f"security.sees_place(hospital_id, department) ON dbo.{DIM_DEPARTMENT.warehouse_name}",
        *(f"security.sees_place(hospital_id, NULL) ON dbo.{name}" for name in _BY_HOSPITAL),
    ]
    return [
        f"CREATE ROLE {LOADER}",
        f"CREATE ROLE {READER}",
        f"CREATE ROLE {DASHBOARD}",
        f"CREATE ROLE {AGGREGATES}",
        *(f"GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.{name} TO {LOADER}" for name in _TABLE_NAMES),
        f"GRANT SELECT, UPDATE ON OBJECT::dbo.{LOAD_LOG.name} TO {LOADER}",
        # Checks query the views, and compare their definitions with the declared ones.
        *(
            f"GRANT SELECT, VIEW DEFINITION ON OBJECT::dbo.{name} TO {LOADER}"
            for name in (*_VIEW_NAMES, ACCESS_LOG_HEADS.name, AGGREGATE_MONTH.name)
        ),
        # Each load creates and drops staging tables in a schema of their own.
        f"GRANT CREATE TABLE TO {LOADER}",
        f"GRANT ALTER, SELECT, INSERT ON SCHEMA::staging TO {LOADER}",
        *(f"{grant} TO {LOADER}" for grant in loader_grants),
        *(f"GRANT SELECT ON OBJECT::dbo.{name} TO {READER}" for name in _VIEW_NAMES),
        f"GRANT SELECT ON OBJECT::dbo.DimTime TO {READER}",
        *(f"GRANT SELECT ON OBJECT::dbo.{name} TO {DASHBOARD}" for name in (*_TABLE_NAMES, LOAD_LOG.name)),
        f"GRANT INSERT ON OBJECT::dbo.{ACCESS_LOG.name} TO {DASHBOARD}",
        f"GRANT SELECT, INSERT, DELETE ON OBJECT::dbo.{ACCESS_LOG.name} TO {LOADER}",
        f"GRANT SELECT ON OBJECT::dbo.{ACCESS_LOG_HEADS.name} TO {DASHBOARD}",
        f"GRANT SELECT, INSERT ON OBJECT::dbo.{AGGREGATE_DAY.name} TO {LOADER}",
        *(
            f"GRANT SELECT ON OBJECT::dbo.{name} TO {role}"
            for role in (AGGREGATES, DASHBOARD)
            for name in (AGGREGATE_DAY.name, AGGREGATE_MONTH.name)
        ),
        # A grant on the whole schema opens it to neither; the view still reads it, by the ownership chain.
        f"DENY SELECT, UPDATE, DELETE ON OBJECT::dbo.{ACCESS_LOG.name} TO {DASHBOARD}",
        f"DENY SELECT, INSERT, UPDATE, DELETE ON OBJECT::dbo.{ACCESS_LOG.name} TO {READER}",
        "CREATE SCHEMA security",
        "CREATE TABLE security.ReaderScope (\n"
        f"    principal_name {text_type} NOT NULL,\n"
        f"    hospital_id {place_type} NULL,\n"
        f"    department {place_type} NULL\n)",
        *(function.replace("TEXT", text_type).replace("IS_ONE_OF", is_one_of) for function in _PREDICATES),
        "CREATE SECURITY POLICY security.reader_scope\n    "
        + ",\n    ".join(f"ADD FILTER PREDICATE {filter_}" for filter_ in filters)
        + "\nWITH (STATE = ON)",
    ]
