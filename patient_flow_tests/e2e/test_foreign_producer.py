"""A producer that nobody here wrote fills the hub; the commands of the README bring its events to the warehouse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from patient_flow.cli import cli
from patient_flow.contracts.tables import BRONZE_EVENTS, LAKE_TABLES, QUARANTINE, SILVER_EVENTS, WAREHOUSE_TABLES
from patient_flow_tests.e2e.processes import Machine, Outcome, micro_batch
from patient_flow_tests.e2e.visits import Visit, send, visits
from patient_flow_tests.e2e.warehouse import ask, change, everything, stars
from patient_flow_tests.stacks import Stack

EVENTS = 20_000


@dataclass(frozen=True)
class Story:
    """What was sent, how the micro-batch went, and what it left behind."""

    machine: Machine
    sent: list[Visit]
    sent_at: datetime
    run: Outcome

    @property
    def accepted(self) -> list[Visit]:
        """Visits that had begun when they were sent: those that begin later begin at least an hour later."""
        return [visit for visit in self.sent if visit.admission <= self.sent_at]

    @property
    def warehouse(self) -> str:
        """URL of the database."""
        return self.machine.warehouse_url


def command(story: Story, *words: str) -> str:
    """What a command of an operator says, in this process with the machine's settings; it must succeed."""
    outcome = CliRunner().invoke(cli, words, env=story.machine.settings)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.fixture(scope="module")
def story(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """20,000 events of a foreign producer, and one micro-batch from the command line."""
    with Machine(tmp_path_factory.mktemp("foreign") / "machine", stack=stack) as machine:
        machine.start_hub()
        sent_at = datetime.now(UTC)
        sent = visits(EVENTS, sent_at)
        send(machine.connection, (visit.body for visit in sent))
        yield Story(machine, sent, sent_at, machine.run(*micro_batch()))


def test_the_micro_batch_succeeds(story: Story) -> None:
    story.run.assert_success()


def test_every_event_is_accepted_or_quarantined_for_the_reason_it_gives(story: Story) -> None:
    with story.machine.services() as services:
        counts = {path: table.row_count() for path, table in services.lake.open_all(LAKE_TABLES).items()}
        reasons = Counter(map(tuple, services.lake.open(QUARANTINE).scan().collect()["reasons"].to_list()))
    ahead = EVENTS - len(story.accepted)
    assert counts[BRONZE_EVENTS.path] == EVENTS
    assert counts[SILVER_EVENTS.path] == len(story.accepted)
    assert reasons == {("admission_is_in_the_future",): ahead}


def test_impossible_ages_are_flagged_and_no_age_is_invented(story: Story) -> None:
    impossible = sum(visit.age > 120 for visit in story.accepted)
    with story.machine.services() as services:
        silver = services.lake.open(SILVER_EVENTS).scan().collect()
    assert Counter(map(tuple, silver["quality_flags"].to_list())) == {
        ("age_is_out_of_range",): impossible,
        (): len(story.accepted) - impossible,
    }
    said = Counter(visit.age if visit.age <= 120 else None for visit in story.accepted)
    assert Counter(silver["age"].to_list()) == said


def test_every_accepted_visit_is_one_fact_with_its_patient(story: Story) -> None:
    (facts, patients, visits_) = ask(
        story.warehouse, 'SELECT COUNT(*), COUNT(DISTINCT patient_key), COUNT(DISTINCT visit_id) FROM "FactPatientFlow"'
    )[0]
    assert (facts, patients, visits_) == (len(story.accepted),) * 3


def test_admissions_by_department_and_gender_are_what_was_sent(story: Story) -> None:
    answered = ask(
        story.warehouse,
        """
        SELECT d.hospital_id, d.department, p.gender, COUNT(*)
        FROM "FactPatientFlow" f
        JOIN "DimDepartment" d ON d.department_key = f.department_key
        JOIN "DimPatient" p ON p.patient_key = f.patient_key
        WHERE f.is_visit_start
        GROUP BY d.hospital_id, d.department, p.gender
        """,
    )
    # A stay in the emergency department is an attendance and no admission (F16).
    expected = Counter(
        (str(visit.hospital_id), visit.department, visit.gender)
        for visit in story.accepted
        if visit.department != "Emergency"
    )
    assert {row[:3]: row[3] for row in answered} == expected


def test_lengths_of_stay_add_up_to_what_was_sent(story: Story) -> None:
    [(hours,)] = ask(story.warehouse, 'SELECT SUM(length_of_stay_hours) FROM "FactPatientFlow"')
    assert hours == pytest.approx(sum(visit.hours for visit in story.accepted), rel=1e-9)


def test_yesterdays_census_counts_who_was_in_bed(story: Story) -> None:
    hour = (story.sent_at - timedelta(hours=24)).replace(minute=0, second=0, microsecond=0)
    answered = ask(
        story.warehouse,
        f"""
        SELECT d.department, c.gender, SUM(c.occupied_beds)
        FROM "FactBedCensus" c JOIN "DimDepartment" d ON d.department_key = c.department_key
        WHERE c.time_key = {hour:%Y%m%d%H}
        GROUP BY d.department, c.gender
        """,
    )
    in_bed = [visit for visit in story.accepted if visit.admission <= hour < visit.discharge]
    assert {row[:2]: row[2] for row in answered} == Counter((visit.department, visit.gender) for visit in in_bed)


def test_lake_and_warehouse_hold_the_same_number_of_rows(story: Story) -> None:
    with story.machine.services() as services:
        in_lake = {table.path: services.lake.open(table).row_count() for table in WAREHOUSE_TABLES}
        assert services.warehouse.row_counts() == in_lake


def test_status_shows_the_progress_of_every_part(story: Story) -> None:
    said = command(story, "status", "--wait", "60")
    assert f"{EVENTS:,}" in said
    assert f"{len(story.accepted):,}" in said
    assert "admission_is_in_the_future" in said


def test_the_warehouse_agrees_with_gold_to_the_last_checksum(story: Story) -> None:
    command(story, "warehouse", "verify")


def test_neither_replaying_the_quarantine_nor_a_rebuild_changes_a_row(story: Story) -> None:
    """No rule changed in between: what was rejected stays so, and bronze gives the tables that the micro-batch made."""
    before = stars(story.warehouse, digits=6)
    assert "0 accepted" in command(story, "replay-quarantine", "--reason", "admission_is_in_the_future")
    command(story, "rebuild")
    assert stars(story.warehouse, digits=6) == before
    command(story, "warehouse", "verify")


def test_a_rebuild_restores_changed_warehouse_rows(story: Story) -> None:
    before = stars(story.warehouse, digits=6)
    change(story.warehouse, "DELETE FROM \"FactBedCensus\" WHERE gender = 'Female'")
    change(story.warehouse, 'UPDATE "DimPatient" SET age = 7 WHERE age = 42')
    said = command(story, "rebuild")
    assert said.count("warehouse FactBedCensus") == said.count("warehouse DimPatient") == 2
    assert said.count("warehouse FactPatientFlow") == 1
    assert stars(story.warehouse, digits=6) == before


def test_mending_loads_only_the_tables_that_differ(story: Story) -> None:
    before = stars(story.warehouse, digits=6)
    change(story.warehouse, 'DELETE FROM "DataQualityDay"')
    said = command(story, "warehouse", "reload")
    assert [line for line in said.splitlines() if line.startswith("warehouse ")] == said.splitlines()
    assert "DataQualityDay" in said
    assert "DimPatient" not in said
    assert stars(story.warehouse, digits=6) == before
    assert "lake and warehouse agree" in command(story, "warehouse", "reload")


def test_a_second_run_changes_nothing(story: Story) -> None:
    """Neither a row nor a version nor the log of loads."""

    def versions() -> dict[str, int]:
        with story.machine.services() as services:
            return {path: table.version for path, table in services.lake.open_all(LAKE_TABLES).items()}

    before, in_warehouse = versions(), everything(story.warehouse)
    story.machine.run(*micro_batch()).assert_success()
    assert versions() == before
    assert everything(story.warehouse) == in_warehouse
