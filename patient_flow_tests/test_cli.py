"""The commands as an operator meets them: help, one line for a mistake, an exit code, never a traceback."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from patient_flow.cli import cli, main
from patient_flow.contracts.access_log import Entry, Kind
from patient_flow.contracts.departments import DepartmentListError
from patient_flow.contracts.tables import ERASED, QUARANTINE, WAREHOUSE_TABLES
from patient_flow.contracts.views import VIEWS
from patient_flow.errors import OperatorError
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.status import report
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.reference import read_departments
from patient_flow.stores.warehouse.access_log import ChainWriter
from patient_flow_tests.builders import event, receive
from patient_flow_tests.e2e.processes import Machine, Outcome, free_port, micro_batch
from patient_flow_tests.stacks import Stack

DIALECTS = ("synapse", "mssql", "fabric", "postgresql", "sqlite")


def commands_below(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command that does something, as the words one types after ``patient-flow``."""
    if not isinstance(command, click.Group):
        yield words
        return
    for name, below in command.commands.items():
        yield from commands_below(below, *words, name)


COMMANDS = list(commands_below(cli))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which nothing runs."""
    with Machine(tmp_path_factory.mktemp("cli") / "machine") as idle:
        yield idle


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(words: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(cli, [*words, "--help"])
    assert shown.exit_code == 0
    assert re.search(rf"Example:\n +patient-flow {' '.join(words)}", shown.output), shown.output


def test_the_commands_of_the_contract_are_there() -> None:
    """All but the dashboard, which comes with its own issue."""
    contract = {
        ("demo",),
        ("hub",),
        ("simulate",),
        ("status",),
        ("rebuild",),
        ("warehouse", "ddl"),
        ("warehouse", "init"),
    }
    assert contract <= set(COMMANDS)


def test_help_and_version_work_as_a_process_without_anything(machine: Machine) -> None:
    assert "Commands:" in machine.run("patient-flow", "--help").out
    assert machine.run("patient-flow", "--version").out.startswith("patient-flow, version ")


class Mistake(NamedTuple):
    """A command, the settings it meets, and what the one line about it must name."""

    words: str
    names: str
    settings: dict[str, str] = {}  # noqa: RUF012  (never changed)

    def __str__(self) -> str:
        return " ".join([self.words, *(f"{name.lower()}={value}" for name, value in self.settings.items())])


def setting(words: str, name: str, value: str, *, names: str = "") -> Mistake:
    """A setting that makes no sense; unless said otherwise the line names it."""
    return Mistake(words, names or f"PATIENT_FLOW_{name}", {f"PATIENT_FLOW_{name}": value})


MISTAKES = [
    setting("status", "TIMEZONE", "Mars/Olympus"),
    setting("status", "LAKE_URI", "data"),
    setting("status", "LAKE_URI", "abfss://{layer}@account.dfs.core.windows.net", names="PATIENT_FLOW_PSEUDONYM_KEY"),
    setting("status", "MAX_EVENTS_PER_RUN", "many"),
    setting("status", "WAREHOUSE_KIND", "oracle"),
    setting("status", "WAREHOUSE_URL", "mssql+pyodbc://server/db", names="PATIENT_FLOW_WAREHOUSE_KIND"),
    setting("status", "EVENTHUB_CONNECTION", "", names="PATIENT_FLOW_EVENTHUB_NAMESPACE"),
    setting("status", "EVENTHUB_CONNECTION", "SharedAccessKey=only"),
    setting("hub", "EVENTHUB_CONNECTION", "Endpoint=sb://127.0.0.1:port;SharedAccessKeyName=a;SharedAccessKey=b"),
    setting("rebuild", "DEPARTMENTS", "nowhere.csv"),
    setting("rebuild", "SOURCE_MAPPING", "nowhere.toml"),
    setting("rebuild", "LAKE_URI", "/dev/null/{layer}", names="/dev/null"),
    Mistake("rebuild --engine spark", "--remote"),
    Mistake("rebuild --remote sc://127.0.0.1", "--engine spark"),
    Mistake("rebuild --engine spark --remote sc://127.0.0.1/;token=hush", "SPARK_CONNECT_AUTHENTICATE_TOKEN"),
    Mistake("rebuild --engine spark --remote sc://127.0.0.1 --token-file nowhere", "nowhere"),
    Mistake("rebuild --engine yarn", "spark"),
    setting("warehouse init", "WAREHOUSE_URL", "sqlite:////dev/null/warehouse.db", names="/dev/null"),
    setting("warehouse init", "WAREHOUSE_URL", "postgresql://nonsense:port:x"),
    setting("warehouse init", "WAREHOUSE_URL", "postgresql+psycopg://u:hush@127.0.0.1:1/x", names="127.0.0.1:1"),
    setting("demo", "LAKE_URI", "data"),
    Mistake("hub --data /dev/null/hub", "--data"),
    Mistake("simulate --rate 1 --speed 2", "exclude each other"),
    Mistake("simulate --dirty 2 --to-file x", "--dirty"),
    Mistake("simulate --wards 3", "No such option"),
    Mistake("simulate --events 1 --to-file /dev/null/x", "cannot write"),
    Mistake("warehouse ddl --dialect oracle", "postgresql"),
    Mistake("no-such-command", "no-such-command"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_an_operators_mistake_is_reported_on_one_line(
    machine: Machine, mistake: Mistake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, for the imports of so many processes would take a minute; an error with a traceback escapes."""
    monkeypatch.chdir(machine.folder)
    monkeypatch.setattr(sys, "argv", ["patient-flow", *mistake.words.split()])
    for name, value in {**machine.settings, **mistake.settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    captured = capsys.readouterr()
    assert_one_line(Outcome(ended.value.code, captured.out, captured.err), mistake.names)


@pytest.mark.parametrize("words", ["simulate --days 0.01", "warehouse verify"])
def test_what_is_not_there_is_one_line_too(machine: Machine, words: str) -> None:
    """No hub to send to, no warehouse to compare."""
    assert_one_line(machine.run("patient-flow", *words.split()), "patient-flow ")


def assert_one_line(outcome: Outcome, names: str) -> None:
    """Exit code, and one line that names the trouble; of a wrong option, the usage may precede it."""
    assert outcome.exit_code in (1, 2), outcome.said
    usage, lines = outcome.err.startswith("Usage: "), outcome.err.strip().splitlines()
    assert len(lines) == 1 or usage, outcome.err
    assert lines[-1].startswith("Error: " if usage else "patient-flow: ")
    assert names in lines[-1]
    assert "hush" not in outcome.said, "a password is shown"


@pytest.mark.parametrize("words", ["hub --data elsewhere --port", "demo --ui-port", "demo --hub-port"])
def test_a_taken_port_is_named_with_the_option_that_gives_another(machine: Machine, words: str) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as other:
        port = str(other.getsockname()[1])
        outcome = machine.run("patient-flow", *words.split(), port)
    assert_one_line(outcome, port)
    assert words.split()[-1] in outcome.err


def test_status_without_a_hub_reports_it_and_shows_the_rest(tmp_path: Path, stack: Stack) -> None:
    with Machine(tmp_path, stack=stack) as machine:
        outcome = machine.run("patient-flow", "status", "--wait", "60")
        assert "patient-flow hub" in outcome.out
        assert "Lake" in outcome.out
        assert f"Warehouse ({stack.warehouse_kind})" in outcome.out
        assert "Traceback" not in outcome.said


@pytest.fixture
def broken(stack: Stack) -> dict[str, str]:
    """Settings that lead to a lake whose quarantine has lost a file, as a disk or somebody's clean-up may lose it."""
    settings = stack.settings()
    quarantine = Lake(settings["PATIENT_FLOW_LAKE_URI"]).open(QUARANTINE)
    quarantine.append(QUARANTINE.empty().clear(n=1), {"source": 1})
    Path(DeltaTable(quarantine.uri).file_uris()[0].removeprefix("file://")).unlink()
    return settings


@pytest.mark.embedded_only("a file is deleted")
def test_a_file_that_the_lake_has_lost_is_one_line(
    broken: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in broken.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["patient-flow", "replay-quarantine"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    captured = capsys.readouterr()
    assert_one_line(
        Outcome(1, captured.out, captured.err),
        ".parquet is missing. Launch the job `lake_repair`, or run `patient-flow lake repair`",
    )


@pytest.mark.embedded_only("a file is deleted")
def test_lake_check_names_the_file_that_the_lake_has_lost(
    broken: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in broken.items():
        monkeypatch.setenv(name, value)
    checked = CliRunner().invoke(cli, ["lake", "check"])
    assert "silver/quarantine" in checked.output
    assert ".parquet" in checked.output
    assert checked.exit_code == 1


@pytest.mark.embedded_only("a file is deleted")
def test_status_of_a_lake_that_cannot_be_read_still_shows_the_warehouse(
    broken: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    report(PatientFlow(overrides=broken).services(), 60)
    said = capsys.readouterr().out
    assert re.search(r"^  silver/quarantine is damaged: .*\.parquet is missing.*$", said, re.MULTILINE)
    assert "Warehouse (sqlite)" in said


def test_the_default_key_is_warned_about(machine: Machine) -> None:
    """Contract, section 2: the fixed key is for the local default only, with a warning."""
    assert "PATIENT_FLOW_PSEUDONYM_KEY" in machine.run("patient-flow", "status").err


def test_a_misspelt_setting_is_one_line_before_a_command_that_works_all_the_same() -> None:
    printed = CliRunner().invoke(
        cli, ["warehouse", "ddl", "--dialect", "sqlite"], env={"PATIENT_FLOW_CADENCE_SECOND": "10"}
    )
    assert printed.exit_code == 0
    assert printed.stderr.splitlines() == [
        "warning: PATIENT_FLOW_CADENCE_SECOND (did you mean PATIENT_FLOW_CADENCE_SECONDS?) is no setting and is ignored"
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_ddl_of_every_dialect_has_all_tables_and_views(dialect: str) -> None:
    printed = CliRunner().invoke(cli, ["warehouse", "ddl", "--dialect", dialect])
    assert (printed.exit_code, printed.stderr) == (0, "")
    tables = [*(table.warehouse_name for table in WAREHOUSE_TABLES), "AccessLog", "AggregateDay", "LoadLog"]
    names = [*tables, *(view.name for view in VIEWS), "AggregateMonth"]
    assert [name for name in names if name not in printed.stdout] == []


def test_the_warehouse_is_made_once_and_init_may_be_repeated(tmp_path: Path, stack: Stack) -> None:
    with Machine(tmp_path, stack=stack) as machine:
        for _ in range(2):
            made = machine.run("patient-flow", "warehouse", "init")
            assert (made.exit_code, made.err) == (0, "")
        with machine.services() as services:
            assert set(services.warehouse.row_counts().values()) == {0}


def test_an_auditor_sees_who_looked_and_whether_the_log_is_intact(tmp_path: Path) -> None:
    environment = {"PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db"}
    services = Services(load(environ=environment))
    services.warehouse.init()
    now = datetime.now(UTC)
    views = [Entry(now, viewer, "page", "hospitals *", Kind.PAGE, "r1") for viewer in ("=a. martin", "b. petit")]
    ChainWriter(services.access_log, services.settings.access_log_key, lambda: now).write(views)

    def run(*words: str) -> Result:
        return CliRunner(env=environment).invoke(cli, ["access-log", *words])

    shown = run("show", "--viewer", "=a. martin").stdout.splitlines()
    assert shown == ["at,viewer,kind,what,scope,request_id", f"{now.isoformat()},'=a. martin,page,page,hospitals *,r1"]
    assert "3 lines in 1 chain are intact; fingerprint" in run("verify").stdout
    with services.warehouse.writing() as connection:
        connection.exec_driver_sql("DELETE FROM AccessLog WHERE viewer = 'b. petit'")
        connection.exec_driver_sql("UPDATE AccessLog SET viewer = 'c. roux' WHERE viewer = '=a. martin'")
    found = run("verify")
    assert "Line 2 of chain" in found.stdout
    assert (found.exit_code, str(found.exception).partition(":")[0]) == (1, "the access log is not intact")
    services.warehouse.dispose()


def test_an_erasure_reads_the_number_from_standard_input_and_leaves_a_receipt(tmp_path: Path) -> None:
    environment = {
        "PATIENT_FLOW_LAKE_URI": f"{tmp_path}/{{layer}}",
        "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse.db",
        "PATIENT_FLOW_EVENTHUB_CONNECTION": "Endpoint=sb://hub.example.org/;SharedAccessKeyName=a;SharedAccessKey=b",
    }
    lake, place = Services(load(environ=environment)).lake, tmp_path / "receipt.json"
    receive(lake, [event(patient_id="4711"), event(patient_id="4712", visit_id="v2")])

    def run(*words: str) -> Result:
        return CliRunner(env=environment).invoke(cli, ["erase", "--patient", *words], input="4711\n")

    assert "found in bronze, events that are the person's: 1\n" in run("4711", "--dry-run").stdout
    nowhere = run("4711", "--receipt", str(tmp_path / "missing" / "receipt.json"))
    assert "no receipt can be written to" in str(nowhere.exception)
    assert not lake.exists(ERASED)
    erased = run("-", "--receipt", str(place))
    assert (erased.exit_code, erased.exception) == (0, None)
    assert "keeps its events until they expire" in erased.stdout
    receipt = json.loads(place.read_text())
    assert receipt["found"] == {"events that are the person's": 1}
    assert "4711" not in place.read_text()
    assert lake.open(ERASED).row_count() == 1
    assert "exists already" in str(run("4711", "--receipt", str(place)).exception), "a receipt is never overwritten"
    assert isinstance(run(" ").exception, OperatorError)


def test_a_department_list_is_checked_and_written_to_where_the_settings_say(tmp_path: Path) -> None:
    place, file = tmp_path / "reference", tmp_path / "list.csv"
    file.write_bytes((resources.files("patient_flow.contracts") / "departments.csv").read_bytes())

    def run(place: Path | str, word: str) -> Result:
        environment = {"PATIENT_FLOW_DEPARTMENTS": str(place)}
        return CliRunner(env=environment).invoke(cli, ["departments", word, str(file)])

    assert run("", "check").output == "52 rows, no fault\n"
    assert run(place, "write").output == f"52 rows written to {place}\n"
    assert read_departments(str(place)).equals(read_departments())
    assert isinstance(run("", "write").exception, OperatorError)
    file.write_text(file.read_text().replace("2020-", "20-"))
    refused = run(place, "write")
    assert isinstance(refused.exception, DepartmentListError)
    assert str(refused.exception).startswith(f"{file}, line 2: ")
    workbook = tmp_path / "list.xlsx"
    workbook.write_bytes(b"PK\x03\x04")
    answer = CliRunner().invoke(cli, ["departments", "check", str(workbook)])
    assert "save the list as CSV" in str(answer.exception)
    assert read_departments(str(place)).equals(read_departments()), "a list with faults replaces nothing"


def test_one_asset_can_be_materialised_in_an_empty_folder_without_settings_and_hub(tmp_path: Path) -> None:
    with Machine(tmp_path / "empty", has_settings=False) as machine:
        machine.run(*micro_batch("gold/dim_time")).assert_success()
        assert (machine.folder / "data" / "gold" / "dim_time" / "_delta_log").is_dir()
