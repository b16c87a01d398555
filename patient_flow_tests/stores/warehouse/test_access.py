"""Roles, rows by hospital and department, signing in with Entra ID, and what is said about secrets."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
import sqlalchemy as sa

from patient_flow.contracts.tables import DATA_QUALITY_DAY, FACT_BED_CENSUS
from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse import entra
from patient_flow.stores.warehouse.aggregates import Aggregates
from patient_flow.stores.warehouse.connection import masked, readable
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import AGGREGATE_DAY, LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.stores.warehouse.builders import census_of, changed, everything, hospital
from patient_flow_tests.stores.warehouse.roles import guard, url_of

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

USERS = {
    **dict.fromkeys(("nina", "carl", "dora", "nobody_yet"), "reader"),
    **dict.fromkeys(("screen_of_h1", "screen_of_nobody"), "dashboard"),
    "lora": "loader",
    "ada": "aggregates",
}
SCOPES = "('nina', 'H1', NULL), ('carl', 'H2', 'ICU'), ('dora', NULL, NULL), ('screen_of_h1', 'H1', NULL)"


@pytest.fixture
def guarded(database: str) -> Iterator[str]:
    """URL of a PostgreSQL warehouse under its access script, loaded by a loader, with readers and dashboards."""
    owner = Warehouse(database, "postgresql")
    guard(owner, USERS)
    with owner._engine.begin() as connection:
        connection.exec_driver_sql(f'INSERT INTO "ReaderScope" VALUES {SCOPES}')
    frames = hospital(NOW - timedelta(days=10), NOW, visits=60).frames()
    loader = of("lora", database)
    loader.init()
    loader.load(everything(frames), newest_event_at=None, loaded_at=NOW, run_id="test")
    loader.dispose()
    yield database
    owner.dispose()


def of(user: str, url: str) -> Warehouse:
    return Warehouse(url_of(user, url), "postgresql")


def places(warehouse: Warehouse, view: str) -> set[tuple[str, ...]]:
    found = warehouse.query(f'SELECT DISTINCT hospital_id, department FROM "{view}"')
    warehouse.dispose()
    return set(found.rows())


@pytest.mark.parametrize("view", ["BedOccupancyHourly", "AdmissionsDaily", "LengthOfStay", "DepartmentInflow"])
def test_a_reader_sees_the_rows_of_their_scope_only(guarded: str, view: str) -> None:
    assert places(of("nina", guarded), view) == {("H1", "Emergency"), ("H1", "Surgery")}
    assert places(of("carl", guarded), view) == {("H2", "ICU")}
    assert places(of("nobody_yet", guarded), view) == set()


def test_totals_of_a_hospital_are_for_readers_of_all_its_departments(guarded: str) -> None:
    owner = of("postgres", guarded)
    with owner._engine.begin() as connection:
        for table in ("ForecastBeds", "ForecastScore"):
            known = f"SELECT * FROM \"{table}\" WHERE hospital_id <> 'Unknown'"
            connection.exec_driver_sql(f"CREATE TEMP TABLE total AS {known}")
            key = "forecast_key = -forecast_key, " if table == "ForecastBeds" else ""
            connection.exec_driver_sql(f"UPDATE total SET {key}department_key = 0")
            connection.exec_driver_sql(f'INSERT INTO "{table}" SELECT DISTINCT ON (hospital_id) * FROM total')
            connection.exec_driver_sql("DROP TABLE total")
    owner.dispose()
    seen = {"nina": {"H1"}, "carl": set(), "dora": {"H1", "H2"}, "nobody_yet": set(), "screen_of_h1": {"H1"}}
    for user, hospitals in seen.items():
        warehouse = of(user, guarded)
        for table in ("ForecastBeds", "ForecastScore"):
            rows = warehouse.query(f'SELECT hospital_id FROM "{table}" WHERE department_key = 0')
            assert set(rows["hospital_id"]) == hospitals, (user, table)
        warehouse.dispose()


def test_a_reader_sees_only_the_patients_of_their_departments(guarded: str) -> None:
    everyone, nina = of("postgres", guarded), of("nina", guarded)
    count = 'SELECT COUNT(*) AS n FROM "DimPatient"'
    assert 0 < nina.query(count).item() < everyone.query(count).item()
    everyone.dispose()
    nina.dispose()


def test_a_dropped_role_does_not_lock_out_other_readers(guarded: str) -> None:
    owner = of("postgres", guarded)
    with owner._engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO \"ReaderScope\" VALUES ('left_long_ago', NULL, NULL)")
    owner.dispose()
    assert places(of("nina", guarded), "LengthOfStay") == {("H1", "Emergency"), ("H1", "Surgery")}
    assert places(of("nobody_yet", guarded), "LengthOfStay") == set()
    quality = "SELECT COUNT(*) FROM \"DataQualityDay\" WHERE hospital_id = 'H1'"
    for user in ("nina", "dora"):
        reader = of(user, guarded)
        assert reader.query(quality).item() > 0
        reader.dispose()


def test_a_view_that_a_migration_replaces_stays_granted(guarded: str) -> None:
    owner, reader = Warehouse(guarded, "postgresql"), of("dora", guarded)
    with owner._engine.begin() as connection:
        connection.exec_driver_sql("""COMMENT ON VIEW "CurrentPatients" IS 'of another version'""")
    statements = owner.migrate(dry_run=False)
    assert statements[-1] == 'GRANT SELECT ON "CurrentPatients" TO patient_flow_reader'
    assert not reader.query('SELECT * FROM "CurrentPatients"').is_empty()
    assert owner.migrate(dry_run=True) == []
    owner.dispose()
    reader.dispose()


def test_a_reader_cannot_write_and_a_loader_can(guarded: str) -> None:
    batch = changed(FACT_BED_CENSUS, census_of({}), census_of({1: 1}), since=0, version=1)
    reader, loader = of("nina", guarded), of("lora", guarded)
    with pytest.raises(WarehouseError, match="permission denied"):
        reader.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    assert loader.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    with pytest.raises(WarehouseError, match="permission denied"):
        loader.query('DELETE FROM "LoadLog" RETURNING table_name')
    reader.dispose()
    loader.dispose()


def test_a_dashboard_sees_the_rows_of_its_scope_only_whatever_table_it_asks(guarded: str) -> None:
    everyone, screen, nobody = (of(user, guarded) for user in ("postgres", "screen_of_h1", "screen_of_nobody"))
    assert set(screen.query('SELECT DISTINCT hospital_id FROM "DimDepartment"')["hospital_id"]) == {"H1"}
    for table in TABLES.values():
        count = sa.select(sa.func.count()).select_from(table)
        seen, all_rows, none = (warehouse.query(count).item() for warehouse in (screen, everyone, nobody))
        assert seen <= all_rows
        if table.name not in ("DimTime", "KpiDepartmentDay"):  # hours are no secret; this hospital has no daily figures
            assert none == 0 < seen
    stays = 'SELECT COUNT(*) FROM "FactPatientFlow" f JOIN "DimDepartment" d ON d.department_key = f.department_key'
    assert (
        screen.query('SELECT COUNT(*) FROM "FactPatientFlow"').item()
        == everyone.query(f"{stays} WHERE d.hospital_id = 'H1'").item()
    )
    assert screen.query(LOAD_LOG.select()).height == len(TABLES)
    for warehouse in (everyone, screen, nobody):
        warehouse.dispose()


def test_a_dashboard_cannot_write(guarded: str) -> None:
    batch = changed(FACT_BED_CENSUS, census_of({}), census_of({1: 1}), since=0, version=1)
    screen = of("screen_of_h1", guarded)
    with pytest.raises(WarehouseError, match="permission denied"):
        screen.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    screen.dispose()


def test_a_reader_of_everything_sees_the_quality_of_hospitals_that_have_no_department_yet(guarded: str) -> None:
    """All that such a hospital sent was quarantined: just what its reader has to see."""
    row = [[NOW.date(), "H9", "all", 0, 0, 4, 0]]
    sent = pl.DataFrame(row, schema=DATA_QUALITY_DAY.schema, orient="row")
    dora, nina, lora = (of(user, guarded) for user in ("dora", "nina", "lora"))
    batch = changed(DATA_QUALITY_DAY, DATA_QUALITY_DAY.empty(), sent, since=0, version=1)
    lora.load([batch], newest_event_at=None, loaded_at=NOW, run_id="test")
    asked = 'SELECT DISTINCT hospital_id FROM "DataQualityDay"'
    assert set(dora.query(asked)["hospital_id"]) == {"H1", "H9"}
    assert set(nina.query(asked)["hospital_id"]) == {"H1"}
    for warehouse in (dora, nina, lora):
        warehouse.dispose()


def test_an_aggregate_reader_sees_published_days_and_months_only(guarded: str) -> None:
    day = {column.name: None for column in AGGREGATE_DAY.columns}
    day |= {"date": NOW.date(), "hospital_id": "H1", "department": "", "gender": "", "admissions": 12}
    day |= {"month": NOW.date().replace(day=1), "is_month_end": True, "threshold": 5, "published_at": NOW}
    lora, ada, nina = (of(user, guarded) for user in ("lora", "ada", "nina"))
    Aggregates(lora).add([day])
    assert Aggregates(ada).days(NOW.date())["admissions"].to_list() == [12]
    assert Aggregates(ada).months()["admissions_days"].to_list() == [1]
    names = [*(table.name for table in TABLES.values()), "LoadLog", "AccessLog", "AccessLogHeads", "ReaderScope"]
    for name in [*names, *(view.name for view in VIEWS)]:
        with pytest.raises(WarehouseError, match="permission denied"):
            ada.query(f'SELECT COUNT(*) FROM "{name}"')
    for statement in ('DELETE FROM "AggregateDay" RETURNING date', 'UPDATE "AggregateDay" SET admissions = 1'):
        for warehouse in (ada, lora):
            with pytest.raises(WarehouseError, match="permission denied"):
                warehouse.query(statement)
    with pytest.raises(WarehouseError, match="permission denied"):
        nina.query('SELECT * FROM "AggregateDay"')
    for warehouse in (lora, ada, nina):
        warehouse.dispose()


@pytest.mark.parametrize(
    ("query", "is_wanted"),
    [
        ({}, True),
        ({"driver": "x"}, True),
        ({"Authentication": "ActiveDirectoryMsi"}, False),
        ({"odbc_connect": "x"}, False),
    ],
)
def test_entra_id_is_used_where_the_url_has_no_credentials(query: dict[str, str], is_wanted: bool) -> None:
    url = sa.URL.create("mssql+pyodbc", host="pool.sql.azuresynapse.net", database="patient_flow", query=query)
    assert entra.is_wanted(url) is is_wanted
    assert entra.is_wanted(url.set(username="")) is is_wanted
    assert not entra.is_wanted(url.set(username="login"))


def test_a_token_goes_to_the_driver_with_its_length_in_front() -> None:
    packed = entra.packed("ey.x")
    assert struct.unpack("<I", packed[:4]) == (8,)
    assert packed[4:].decode("utf-16-le") == "ey.x"


def test_a_new_connection_carries_a_token_and_no_trusted_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    class Credential:
        def get_token(self, scope: str) -> object:
            assert scope == "https://database.windows.net/.default"
            return type("Token", (), {"token": "secret-token"})()

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Credential)
    seen: list[tuple[str, object]] = []
    driver = pytest.importorskip("pyodbc", exc_type=ImportError)

    def connect(text: str, **options: object) -> object:
        seen.append((text, options["attrs_before"]))
        raise driver.OperationalError("08001", "no server here; PWD=hidden")

    monkeypatch.setattr(driver, "connect", connect)
    warehouse = Warehouse("mssql+pyodbc://pool.example/db?driver=ODBC+Driver+18+for+SQL+Server", "synapse")
    with pytest.raises(WarehouseError) as raised:
        warehouse.loaded_versions()
    ((text, attributes),) = seen
    assert "Trusted_Connection" not in text
    assert attributes == {1256: entra.packed("secret-token")}
    assert "hidden" not in str(raised.value)


def test_a_sign_in_refused_by_entra_id_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ClientAuthenticationError

    class Credential:
        def get_token(self, scope: str) -> object:
            raise ClientAuthenticationError(f"no token for {scope}.\nAttempted credentials:\n\tnone; secret=s3cret")

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", Credential)
    pytest.importorskip("pyodbc", exc_type=ImportError)
    warehouse = Warehouse("mssql+pyodbc://pool.example/db?driver=ODBC+Driver+18+for+SQL+Server", "synapse")
    with pytest.raises(WarehouseError, match=r"Entra ID gave no token .*az login.* Attempted credentials: ") as raised:
        warehouse.loaded_versions()
    assert "\n" not in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@host/db",
        "mssql+pyodbc://user:s3cret@host/db?driver=x",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Ds3cret",
        "postgresql://host/db?password=s3cret",
        "no url s3cret",
    ],
)
def test_no_secret_is_shown(url: str) -> None:
    assert "s3cret" not in masked(url)


def test_errors_hide_secrets_statements_and_parameters() -> None:
    error = sa.exc.OperationalError("SELECT 1", {"patient": "p1"}, Exception("login failed;\nPWD={a;b} Token=abc."))
    assert readable(error) == "login failed; PWD=*** Token=***"


def test_importing_the_warehouse_loads_no_driver() -> None:
    """Dagster loads the code location on machines without any ODBC library."""
    drivers = ["pyodbc", "psycopg", "azure.identity"]
    script = (
        "import sys, patient_flow.stores.warehouse.warehouse as w, patient_flow.stores.warehouse.scripts\n"
        "w.Warehouse('mssql+pyodbc://host/db', 'synapse')\n"
        f"sys.exit(','.join(name for name in {drivers} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_frames_of_readers_are_typed_even_when_empty(guarded: str) -> None:
    nobody = of("nobody_yet", guarded)
    found = nobody.query('SELECT * FROM "AdmissionsDaily"')
    nobody.dispose()
    assert found.equals(pl.DataFrame(schema=found.schema))
