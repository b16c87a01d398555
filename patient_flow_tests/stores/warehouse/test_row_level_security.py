"""A reader who may create temporary objects and set what a session may set sees no row of another hospital."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa

from patient_flow.stores.warehouse.kinds import target_of
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import everything, hospital
from patient_flow_tests.stores.warehouse.roles import guard, url_of

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

ATTACKS = {
    "a temporary ReaderScope": """
        CREATE TEMP TABLE "ReaderScope" (principal_name NAME, hospital_id VARCHAR(64), department VARCHAR(64));
        INSERT INTO pg_temp."ReaderScope" VALUES ('mallory', NULL, NULL);
        GRANT ALL ON pg_temp."ReaderScope" TO PUBLIC""",
    "a temporary DimDepartment": """
        CREATE TEMP TABLE "DimDepartment" AS SELECT DISTINCT department_key, 'H1' AS hospital_id, 'x' AS department
        FROM generate_series(-1000, 1000) AS department_key;
        GRANT ALL ON pg_temp."DimDepartment" TO PUBLIC;
        SET search_path = pg_temp, public""",
    "a temporary pg_roles": """
        CREATE TEMP TABLE pg_roles AS SELECT 0::oid AS oid, 'boss'::name AS rolname;
        UPDATE pg_temp.pg_roles SET oid = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = 'mallory');
        GRANT ALL ON pg_temp.pg_roles TO PUBLIC;
        SET search_path = pg_temp, pg_catalog, public""",
    "a temporary function": """
        CREATE FUNCTION pg_temp.pg_has_role(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT TRUE';
        CREATE FUNCTION pg_temp.sees_everything() RETURNS boolean LANGUAGE sql AS 'SELECT TRUE';
        CREATE FUNCTION pg_temp.visible_departments() RETURNS SETOF bigint
            LANGUAGE sql AS 'SELECT generate_series(-1000::bigint, 1000)';
        SET search_path = pg_temp, public""",
    "a temporary operator": """
        CREATE FUNCTION pg_temp.always(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT TRUE';
        CREATE OPERATOR pg_temp.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = pg_temp.always);
        SET search_path = pg_temp, pg_catalog, public""",
    "a cast of an own type": """
        CREATE TYPE pg_temp.pair AS (a text);
        CREATE FUNCTION pg_temp.to_pair(text) RETURNS pg_temp.pair LANGUAGE sql AS 'SELECT ROW($1)::pg_temp.pair';
        CREATE CAST (text AS pg_temp.pair) WITH FUNCTION pg_temp.to_pair(text) AS IMPLICIT""",
    "another search path": "SET search_path = pg_temp",
    "the loader's role": "SET ROLE patient_flow_loader",
    "the owner's role": "SET ROLE postgres",
    "another session user": "SET SESSION AUTHORIZATION postgres",
    "row security switched off": "SET row_security = off",
    "a function in the schema of the tables": """
        CREATE FUNCTION public.visible_departments(int) RETURNS SETOF bigint LANGUAGE sql AS 'SELECT 1::bigint'""",
    "a line of the real ReaderScope": """INSERT INTO public."ReaderScope" VALUES ('mallory', NULL, NULL)""",
    "another function of that name": """
        CREATE OR REPLACE FUNCTION public.sees_everything() RETURNS boolean LANGUAGE sql AS 'SELECT TRUE'""",
    "a policy of one's own": """CREATE POLICY mine ON public."FactPatientFlow" USING (TRUE)""",
    "row level security disabled": """ALTER TABLE public."FactPatientFlow" DISABLE ROW LEVEL SECURITY""",
}


@pytest.fixture
def guarded(database: str) -> Iterator[str]:
    """URL of a warehouse in which mallory sees hospital H1 and the boss everything."""
    owner = Warehouse(database, "postgresql")
    guard(owner, {"mallory": "reader", "boss": "reader", "lora": "loader"})
    with owner._engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO \"ReaderScope\" VALUES ('mallory', 'H1', NULL), ('boss', NULL, NULL)")
    loader = Warehouse(url_of("lora", database), "postgresql")
    frames = hospital(NOW - timedelta(days=10), NOW, visits=60).frames()
    loader.load(everything(frames), newest_event_at=None, loaded_at=NOW, run_id="test")
    loader.dispose()
    yield database
    owner.dispose()


def connected(url: str) -> psycopg.Connection:
    place = sa.make_url(url)
    return psycopg.connect(f"host=127.0.0.1 port={place.port} user=mallory dbname={place.database}", autocommit=True)


def everything_seen(connection: psycopg.Connection) -> dict[str, object]:
    """Rows that the reader gets by each way to read; of a refused way the kind of error."""
    ways = {
        "facts": 'SELECT count(*) FROM public."FactPatientFlow"',
        "patients": 'SELECT count(*) FROM public."DimPatient"',
        "departments": "SELECT string_agg(DISTINCT hospital_id, ',') FROM public.\"DimDepartment\"",
        "view": "SELECT string_agg(DISTINCT hospital_id::text, ',') FROM public.\"LengthOfStay\"",
        "quality": "SELECT string_agg(DISTINCT hospital_id, ',') FROM public.\"DataQualityDay\"",
        "scope": 'SELECT count(*) FROM public."ReaderScope"',
    }
    seen: dict[str, object] = {}
    for name, query in ways.items():
        try:
            row = connection.execute(query.encode()).fetchone()
            seen[name] = row[0] if row else None
        except psycopg.Error as error:
            seen[name] = type(error).__name__
    try:
        with connection.cursor() as cursor, cursor.copy(b'COPY public."FactPatientFlow" TO STDOUT') as copy:
            seen["copy"] = sum(bytes(block).count(b"\n") for block in copy)
    except psycopg.Error as error:
        seen["copy"] = type(error).__name__
    return seen


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_session_of_a_reader_widens_what_it_sees(guarded: str, attack: str) -> None:
    with connected(guarded) as honest:
        allowed = everything_seen(honest)
    assert allowed["departments"] == allowed["view"] == "H1"
    assert allowed["scope"] == "InsufficientPrivilege"
    assert int(str(allowed["facts"])) == allowed["copy"] > 0  # type: ignore[operator]
    with connected(guarded) as hostile:
        for statement in ATTACKS[attack].split(";\n"):
            try:
                hostile.execute(statement.encode())
            except psycopg.Error:
                continue
        seen = everything_seen(hostile)
    refused = {"InsufficientPrivilege", "UndefinedFunction", "UndefinedTable", "DatatypeMismatch"}
    assert all(seen[name] == allowed[name] or seen[name] in refused for name in allowed), seen


def test_a_function_that_leaks_its_arguments_gets_visible_rows_only(guarded: str) -> None:
    """A cheap function in a condition is asked after the policy, not before it."""
    with connected(guarded) as hostile:
        notices: list[str] = []
        hostile.add_notice_handler(lambda notice: notices.append(str(notice.message_primary)))
        hostile.execute(
            "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS "
            "$$ BEGIN RAISE NOTICE '%', $1; RETURN TRUE; END $$"
        )
        hostile.execute('SELECT count(*) FROM public."DimDepartment" WHERE pg_temp.leak(hospital_id)')
    assert set(notices) == {"H1"}


def test_functions_with_the_owners_rights_are_for_readers_only(guarded: str) -> None:
    owner = Warehouse(guarded, "postgresql")
    with owner._engine.begin() as connection:
        connection.exec_driver_sql("DO $$ BEGIN CREATE ROLE visitor LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    owner.dispose()
    place = sa.make_url(guarded)
    with (
        psycopg.connect(f"host=127.0.0.1 port={place.port} user=visitor dbname={place.database}") as visitor,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        visitor.execute("SELECT public.visible_departments()")


@pytest.mark.parametrize("kind", ["synapse", "mssql", "fabric"])
def test_on_transact_sql_predicates_bind_their_tables_and_change_no_context(kind: str) -> None:
    """SCHEMABINDING wants two-part names, which no object of a session can shadow."""
    statements = target_of(kind).access_statements()
    functions = [statement for statement in statements if statement.startswith("CREATE FUNCTION")]
    assert len(functions) == 3
    for function in functions:
        assert "WITH SCHEMABINDING" in function
        sources = re.findall(r"(?:FROM|JOIN) (\S+)", function)
        assert sources
        assert all(re.fullmatch(r"(dbo|security)\.\w+", source) for source in sources)
    script = "\n".join(target_of(kind).access_statements())
    assert not re.search(r"EXECUTE AS|sp_executesql|EXEC\b|#\w|CONTEXT_INFO|SESSION_CONTEXT|ORIGINAL_LOGIN", script)


def test_on_postgresql_every_function_with_the_owners_rights_binds_its_names() -> None:
    statements = target_of("postgresql").access_statements()
    functions = [statement for statement in statements if "SECURITY DEFINER" in statement]
    assert len(functions) == 3
    assert all("BEGIN ATOMIC" in function for function in functions)
    assert all("SET search_path = pg_catalog, pg_temp" in function for function in functions)
