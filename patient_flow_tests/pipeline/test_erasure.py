"""After an erasure no byte of lake or warehouse names the person, and all else is as if they had never come."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from azure.eventhub import EventData

from patient_flow.contracts.erasure import MARKER
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    COORDINATES,
    ERASED,
    IGNORED,
    LAKE_TABLES,
    SILVER_EVENTS,
)
from patient_flow.dialects import fhir, hl7
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring.rules.reconciliation import counts_reconcile
from patient_flow.pipeline import graph, inspection
from patient_flow.pipeline.bronze import ingest
from patient_flow.pipeline.erasure.erase import Erasure
from patient_flow.pipeline.erasure.finish import clear_returned
from patient_flow.pipeline.erasure.receipt import Receipt
from patient_flow.pipeline.erasure.search import ScopeRequired
from patient_flow.pipeline.load import load_warehouse
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.stores.hub import Hub, Slice
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.inspection import check
from patient_flow.stores.lake.table import LakeTable
from patient_flow.stores.warehouse.reconciliation import verify
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.keys import pseudonyms
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    ENQUEUED,
    NOW,
    SECRET,
    Body,
    Delivery,
    at,
    contents,
    deliveries,
    event,
    receive,
    snapshot,
    step_context,
)
from patient_flow_tests.dialects.builders import adt
from patient_flow_tests.local_hub.clients import producer

PERSON, FORMER, MIDDLE = "PERSON-4711-ABC", "FORMER-0815-XYZ", "MIDDLE-2222-QRS"
NAME = "Wolkenstein-Trostburg"
OTHER = "someone-else"


def merge(survivor: str, given_up: str, clock: str) -> Body:
    return event(
        event_type="merge_patient",
        patient_id=survivor,
        merged_patient_id=given_up,
        visit_id=None,
        department=None,
        event_time=at(clock),
        event_id=f"merge {clock}",
    )


def message(pid: Mapping[int, str], kind: str = "ADT^A01", visit: str = "V9") -> bytes:
    """An HL7 message of the day of the tests."""
    header, event_time = {7: "20260320101600", 9: kind}, {2: "20260320101530"}
    return adt("A01", msh=header, evn=event_time, pid=pid, pv1={19: visit, 44: "20260320100000"})


def laboratory(patient: str, name: str = NAME) -> bytes:
    return message({3: f"{patient}^^^", 5: f"{name}^Oswald"}, "ORU^R01")


def resource(patient: str, name: str = NAME) -> bytes:
    observation = {"resourceType": "Observation", "subject": {"reference": f"Patient/{patient}"}, "note": name}
    return json.dumps(observation).encode()


def of_the_person() -> list[Body | bytes]:
    """Everything that is about the person alone."""
    return [
        event(patient_id=PERSON, visit_id="pv1", name=NAME),
        event(patient_id=PERSON, visit_id="pv1", event_type="transfer", event_time=at("12:00"), department="Surgery"),
        event(patient_id=FORMER, visit_id="pv2", event_type="arrival", department="Emergency"),
        merge(MIDDLE, FORMER, "11:00"),
        merge(PERSON, MIDDLE, "11:30"),
        snapshot(patient_id=MIDDLE, department="Surgery"),
        snapshot(patient_id=MIDDLE, department="Surgery"),  # ignored: received again
        event(patient_id=PERSON, visit_id=None, event_id="rejected", mother=NAME),
        laboratory(PERSON),
        resource(PERSON),
        gzip.compress(json.dumps({"patient_id": PERSON, "name": NAME}).encode()),
        base64.b64encode(laboratory(FORMER)),
        base64.b64encode(zlib.compress(resource(MIDDLE))),
        json.dumps([{"patient_id": PERSON, "name": NAME}]).encode(),
        message({3: f"{PERSON}^^^", 5: f"{NAME}^Oswald"}),
        # takes the identity of another's event away
        event(patient_id=PERSON, visit_id="pv3", event_id="shared", event_time=at("14:00"), department="Surgery"),
    ]


def of_others() -> list[Body | bytes]:
    """What stays."""
    return [
        event(patient_id=OTHER, visit_id="ov1"),
        event(patient_id=OTHER, visit_id="ov1", event_type="transfer", event_time=at("13:00"), department="Surgery"),
        event(patient_id="third", visit_id="ov2", event_id="shared", event_time=at("14:00"), age=7),
        event(patient_id="third", visit_id="ov2", event_type="discharge", event_time=at("15:00")),
        snapshot(patient_id="fourth", bed_id=4711),
        snapshot(patient_id="fourth", bed_id=4711),
        laboratory(OTHER, "Sample"),
        resource(OTHER, "a note"),
        b"no JSON",
        event(patient_id="fifth", visit_id=None, event_id="rejected too"),
    ]


def arrivals(start: Any = ENQUEUED) -> tuple[list[Delivery], list[Delivery]]:
    """Those of all, and those of the others alone, at the same coordinates; the newest is the person's."""
    mine, theirs = of_the_person(), of_others()
    mixed = [body for pair in zip(mine, theirs, strict=False) for body in pair] + mine[len(theirs) :]
    everything = deliveries(mixed, partitions=2, start=start, every=3600.0)
    return everything, [delivery for delivery in everything if any(delivery.body is body for body in theirs)]


class Hospital:
    """A lake and its warehouse."""

    def __init__(self, lake: Lake, warehouse: Warehouse, parser: ParserConfig) -> None:
        self.lake, self.warehouse, self.parser = lake, warehouse, parser

    def take(self, batch: list[Delivery]) -> None:
        receive(self.lake, batch)
        self.run()

    def run(self) -> None:
        for step in graph.STEPS[1:]:
            step.run(step_context(self.lake, self.parser))
        load_warehouse(self.lake, self.warehouse, WAREHOUSE, now=NOW, run_id="test")

    def erasure(self, number: str = PERSON, scope: str | None = None, now: Any = NOW) -> Erasure:
        context = step_context(self.lake, self.parser, now=now)
        return Erasure(context, self.warehouse, number, scope, lambda _: None)

    def tables(self) -> dict[str, pl.DataFrame]:
        left_out = (BRONZE_EVENTS, ERASED)
        rows = {table.path: contents(self.lake, table) for table in LAKE_TABLES if table not in left_out}
        rows[IGNORED.path] = rows[IGNORED.path].drop("event_key", strict=False)
        return rows


WAREHOUSE = [table for table in LAKE_TABLES if table.warehouse]


@pytest.fixture(scope="module")
def parser(departments: pl.DataFrame) -> ParserConfig:
    return ParserConfig(departments, SECRET, formats=(hl7.interpret, fhir.interpret), erasure_key="a key of erasures")


@pytest.fixture
def hospitals(stack: Any, lakes: Any, parser: ParserConfig) -> Iterator[tuple[Hospital, Hospital]]:
    """One in which the person was, and one in which only the others were."""
    with lakes(2) as made:
        pair = [
            Hospital(lake, Warehouse(stack.warehouse_url(), stack.warehouse_kind, export=lake.export), parser)
            for lake in made
        ]
        yield pair[0], pair[1]
        for one in pair:
            one.warehouse.dispose()


def needles() -> list[bytes]:
    """What nobody may find: numbers, pseudonyms, and a name."""
    numbers = (PERSON, FORMER, MIDDLE)
    hashed = pseudonyms(pl.Series(numbers, dtype=pl.String), SECRET, "patient")
    plain = [text.encode() for text in (*numbers, NAME, *hashed)]
    encoded = [base64.b64encode(number.encode())[:12] for number in numbers]
    return plain + encoded + [text.encode("utf-16-le") for text in numbers]


def traces(folder: Path) -> list[str]:
    """Files in which one of the needles is, also once their pages are decompressed."""
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += b"\n".join(_values(pl.read_parquet(path, glob=False, hive_partitioning=False)))
        found += [f"{path.relative_to(folder)}: {needle!r}" for needle in needles() if needle in data]
    return found


def _values(frame: pl.DataFrame) -> Iterator[bytes]:
    for column in frame:
        for value in column.to_list():
            yield value if isinstance(value, bytes) else str(value).encode()
            if isinstance(value, bytes) and value.startswith(b"\x1f\x8b"):
                yield gzip.decompress(value)


def remains(hospital: Hospital) -> list[str]:
    """Traces in the files of lake and warehouse, where these are on this machine."""
    lake, file = hospital.lake.folder, hospital.warehouse.address.removeprefix("sqlite:///")
    folders = [] if lake is None else [lake.parent, Path(file).parent]
    return [trace for folder in folders for trace in traces(folder)]


def test_no_byte_names_the_person_and_all_tables_are_as_if_they_had_never_come(
    hospitals: tuple[Hospital, Hospital],
) -> None:
    hospital, without = hospitals
    everything, others = arrivals()
    for batch in (everything[:9], everything[9:20], everything[20:]):
        hospital.take(batch)
    without.take(others)
    assert remains(hospital) or hospital.lake.folder is None
    receipt = hospital.erasure().run()
    assert remains(hospital) == []
    expected = without.tables()
    for path, rows in hospital.tables().items():
        assert rows.to_dicts() == expected[path].to_dicts(), path
    assert_sound(hospital)
    erased = contents(hospital.lake, ERASED)
    assert erased.height == len(of_the_person())
    assert set(erased["erased_at"]) == {NOW}
    assert contents(hospital.lake, BRONZE_EVENTS).height == len(everything)
    assert receipt.found == {"events that are the person's": len(of_the_person())}
    assert receipt.numbers == 3
    assert receipt.changed_days["gold/kpi_department_day"]
    assert not receipt.remaining
    again = Receipt.of_state(receipt.to_state())
    assert list(again.lines()) == list(receipt.lines())


def assert_sound(hospital: Hospital) -> None:
    """No damage, everything counted, the warehouse as gold, and nothing another run would change."""
    lake, warehouse = hospital.lake, hospital.warehouse
    assert [damage for table in LAKE_TABLES for damage in check(lake, table)] == []
    for everything in (True, False):
        finding = counts_reconcile(inspection.reconciliation_counts(lake, everything=everything))
        assert finding.is_ok, finding
    gold = {table.path: lake.open(table).scan() for table in WAREHOUSE}
    assert verify(warehouse, gold) == []
    before = hospital.tables()
    hospital.run()
    assert all(rows.equals(before[path]) for path, rows in hospital.tables().items())


# --- what comes back, and what comes later


@pytest.mark.embedded_only("one stack suffices for what the lake does")
def test_events_that_come_back_stay_erased_and_later_ones_are_a_new_beginning(
    hospitals: tuple[Hospital, Hospital],
) -> None:
    hospital, without = hospitals
    everything, others = arrivals()
    hospital.take(everything)
    hospital.erasure().run()
    before = hospital.tables()
    again = deliveries(of_the_person(), partitions=2, start=NOW + timedelta(days=1))
    again = [delivery._replace(number=delivery.number + 1_000) for delivery in again]
    hospital.take(again)
    assert [path for path, rows in hospital.tables().items() if not rows.equals(before[path])] == []
    assert contents(hospital.lake, ERASED).height == 2 * len(again)
    assert remains(hospital) or hospital.lake.folder is None
    context = step_context(hospital.lake, hospital.parser)
    assert clear_returned(context, hospital.warehouse) == len(again)
    assert remains(hospital) == []
    assert clear_returned(context, hospital.warehouse) == 0
    assert [path for path, rows in hospital.tables().items() if not rows.equals(before[path])] == []
    later = event(patient_id=PERSON, visit_id="new", event_time=NOW + timedelta(days=1))
    hospital.take([Delivery(later, NOW + timedelta(days=1), "0", 2_000)])
    assert contents(hospital.lake, SILVER_EVENTS).height == before[SILVER_EVENTS.path].height + 1
    for _ in rebuild(step_context(hospital.lake, hospital.parser)):
        pass
    assert contents(hospital.lake, ERASED).height == 2 * len(again)
    assert_sound(hospital)
    without.take(others)
    without.take([Delivery(later, NOW + timedelta(days=1), "0", 2_000)])
    expected = without.tables()
    for path, rows in hospital.tables().items():
        assert rows.to_dicts() == expected[path].to_dicts(), path


# --- whose number it is


@pytest.mark.embedded_only("which events are erased, on any storage")
def test_a_number_of_several_persons_needs_a_scope_and_a_dry_run_changes_nothing(
    hospitals: tuple[Hospital, Hospital],
) -> None:
    hospital, _ = hospitals
    hospital.take(
        deliveries(
            [
                event(patient_id="77", visit_id="a"),
                event(patient_id="77", visit_id="b", patient_assigner="HIS"),
                message({3: "77^^^NORTH^MR", 5: "Sample"}, visit="c"),
            ]
        )
    )
    with pytest.raises(ScopeRequired, match="assigner=HIS, assigner=NORTH, network"):
        hospital.erasure("77").run()
    versions = {table.path: hospital.lake.open(table).version for table in LAKE_TABLES}
    receipt = hospital.erasure("77", "assigner=HIS").preview()
    assert receipt.is_dry_run
    assert receipt.found == {"events that are the person's": 1}
    for scope in ("hospital=", "hospitl=3", " "):
        with pytest.raises(ScopeRequired, match="--scope takes network, hospital=ID"):
            hospital.erasure("77", scope).preview()
    misspelt = hospital.erasure("77", "assigner=HSI").preview()
    assert misspelt.found == {}
    assert "the number is also known under assigner=HIS, assigner=NORTH, network" in "\n".join(misspelt.lines())
    assert {table.path: hospital.lake.open(table).version for table in LAKE_TABLES} == versions
    hospital.erasure("77", "HIS").run()
    assert contents(hospital.lake, ERASED)["sequence_number"].to_list() == [1]
    assert contents(hospital.lake, SILVER_EVENTS)["sequence_number"].to_list() == [0, 2]


@pytest.mark.embedded_only("which events are erased, on any storage")
def test_of_a_body_with_several_persons_the_others_keep_number_and_identity(
    hospitals: tuple[Hospital, Hospital],
) -> None:
    hospital, _ = hospitals
    merges = (
        b"MSH|^~\\&|PAS|NORTH|||20260320101600||ADT^A40|M-1|P|2.5\rEVN|A40|20260320101530\r"
        b"PID|1||" + PERSON.encode() + b"||" + NAME.encode() + b"\rMRG|" + FORMER.encode() + b"\r"
        b"PID|2||stays||Sample\rMRG|was-stays\r"
    )
    newborn = event(patient_id="newborn", visit_id="nv", mother_id=PERSON)
    opaque = bytes(range(256)) * 2
    hospital.take(
        [
            Delivery(merges, ENQUEUED, "0", 0),
            Delivery(newborn, ENQUEUED, "0", 1),
            Delivery(opaque, ENQUEUED, "0", 2),
            Delivery(event(patient_id="third", visit_id="tv", note=f"asked for {PERSON}"), ENQUEUED, "0", 3),
        ]
    )
    before = contents(hospital.lake, SILVER_EVENTS)
    receipt = hospital.erasure().run()
    after = contents(hospital.lake, SILVER_EVENTS)
    kept = ["sequence_number", "part", "event_id", "event_key", "patient_id", "visit_id"]
    assert (
        after.select(kept).rows()
        == before.filter(pl.col("part").eq(1) | pl.col("sequence_number").ne(0)).select(kept).rows()
    )
    assert contents(hospital.lake, ERASED).select("sequence_number", "part", "parts").rows() == [(0, 0, 2)]
    assert MARKER in json.loads(after.filter(sequence_number=1)["extra"].item())["mother_id"]
    assert [row["sequence_number"] for row in receipt.unopened] == ["2"]
    assert [row["sequence_number"] for row in receipt.mentions] == ["3"]
    assert_sound(hospital)


# --- the local hub


@pytest.mark.embedded_only("its files are on this machine")
def test_the_local_hub_keeps_the_numbers_of_erased_events_and_nothing_else(
    hospitals: tuple[Hospital, Hospital], hub: Hub, hub_thread: HubThread, tmp_path: Path
) -> None:
    hospital, _ = hospitals
    with producer(hub_thread.connection) as client:
        for number, body in enumerate([*of_the_person(), *of_others()]):
            sent = EventData(body if isinstance(body, bytes) else json.dumps(body))
            sent.properties = {"ward": f"of {PERSON}"} if number == 0 else {}
            client.send_batch([sent], partition_key=PERSON if number == 0 else "anybody")
    ingest(step_context(hospital.lake, hospital.parser, hub=hub, max_events=1_000))
    hospital.run()
    received = contents(hospital.lake, BRONZE_EVENTS)
    assert [trace for trace in traces(tmp_path / "hub") if PERSON in trace]
    erasure = replace(
        hospital.erasure(now=datetime.now(UTC)),
        context=step_context(hospital.lake, hospital.parser, hub=hub, now=datetime.now(UTC)),
    )
    receipt = erasure.run()
    assert receipt.remaining == []
    assert traces(tmp_path / "hub") == []
    state = hub.peek()
    slices = [Slice(part.partition_id, -1, part.last_sequence_number, None) for part in state.partitions]
    again = hub.drain(slices, time.monotonic() + 60, 2**26).events
    assert (
        again.select(*COORDINATES[1:], "offset")
        .sort(COORDINATES[1:])
        .equals(received.select(*COORDINATES[1:], "offset").sort(COORDINATES[1:]))
    )
    kept = {json.dumps(body).encode() if isinstance(body, dict) else body for body in of_others()}
    assert {body for body in again["body"] if MARKER.encode() not in body} == kept


# --- interruptions


@pytest.mark.embedded_only("one stack suffices for what the lake does")
def test_an_erasure_that_dies_anywhere_goes_on(
    hospitals: tuple[Hospital, Hospital], monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital, without = hospitals
    everything, others = arrivals()
    hospital.take(everything)
    without.take(others)
    expected, number = without.tables(), 0
    calls = [LakeTable.replace, LakeTable.append, LakeTable.purge]
    while True:
        number += STRIDE
        with monkeypatch.context() as patched:
            _die_at(patched, number, calls)
            with contextlib.suppress(Died):
                receipt = hospital.erasure(now=NOW + timedelta(seconds=number)).run()
                break
        hospital.run()
    assert number > STRIDE
    assert remains(hospital) == []
    for path, rows in hospital.tables().items():
        assert rows.to_dicts() == expected[path].to_dicts(), path
    assert receipt.found == {"events that are the person's": len(of_the_person())}
    assert receipt.erased_at == NOW + timedelta(seconds=STRIDE)
    assert receipt.changed_days["gold/kpi_department_day"]
    assert_sound(hospital)


STRIDE = 13
"""The attempts die after so many changes of the lake, after twice as many, and so on."""


class Died(BaseException):
    """The process is gone."""


def _die_at(patched: pytest.MonkeyPatch, number: int, calls: list[Any]) -> None:
    left = [number]

    def dying(call: Any) -> Any:
        def called(*args: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Died
            return call(*args, **more)

        return called

    for call in calls:
        patched.setattr(LakeTable, call.__name__, dying(call))
