"""Bodies on their way through a mapping, the contract reader and the rules, as the pipeline takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import polars as pl

from patient_flow.contracts.columns import INSTANT
from patient_flow.dialects import fhir, hl7, mapping
from patient_flow.dialects.mapping_checks import ReadRows, no_other_file
from patient_flow.transforms import accept
from patient_flow.transforms.read import ParserConfig, read_events

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""When every event of a test reaches the hub."""

SECRET = "a secret of the tests"

Event = dict[str, Any]


EXAMPLES = (
    "a_flat_visit",
    "b_flat_visit_without_bed",
    "c_flat_visit_with_offset",
    "d_sex_for_gender",
    "e_with_name",
    "f_event_id_and_wait",
    "g_random_event_type",
    "h_bed_activity",
    "i_admission_and_discharge",
    "j_adt_codes",
    "hl7_adt",
    "fhir_encounter",
)
"""The shipped mapping files."""


def example(name: str) -> str:
    """Content of a shipped mapping file."""
    return (resources.files("patient_flow") / "dialects" / "examples" / f"{name}.toml").read_text(encoding="utf-8")


def parser(text: str = "", read: ReadRows = no_other_file) -> ParserConfig:
    """As the pipeline has it: the mapping file, if there is one, before the formats that are always understood."""
    mappings = mapping.parse_mappings(text, "test.toml", read) if text else mapping.SourceMappings()
    formats = (hl7.interpret, fhir.interpret)
    return ParserConfig(_departments(), SECRET, mappings.interpreters, formats, mappings.unwrap)


def judged(events: Iterable[bytes | Mapping[str, Any]], text: str = "") -> list[Event]:
    """Each event as read and judged, with ``reasons`` and ``quality_flags``; ``text`` is a mapping file."""
    return _judged(events, text).to_dicts()


def accepted(events: Iterable[bytes | Mapping[str, Any]], text: str = "") -> list[Event]:
    """The rows of silver that the events become."""
    return accept.candidates(_judged(events, text), SECRET).to_dicts()


def only(event: bytes | Mapping[str, Any], text: str = "", read: ReadRows = no_other_file) -> Event:
    """One event as read and judged; ``read`` gives the rows of files that the mapping file looks up."""
    (row,) = _judged([event], text, read).to_dicts()
    return row


def extra(row: Event) -> Event:
    """The unknown fields that a row keeps."""
    return json.loads(row["extra"]) if row["extra"] else {}


def adt(
    trigger: str,
    msh: Mapping[int, str] | None = None,
    evn: Mapping[int, str] | None = None,
    pid: Mapping[int, str] | None = None,
    pv1: Mapping[int, str] | None = None,
    end: str = "\r",
) -> bytes:
    """A full ADT message, with some fields changed (by their HL7 number)."""
    header = {3: "WARDS", 4: "NORTH", 7: "20261119101600", 9: f"ADT^{trigger}^ADT_A01", 10: "M-1", 11: "P", 12: "2.5"}
    segments = (
        _segment("MSH", {**header, **(msh or {})}, first=2).replace("MSH||", "MSH|^~\\&|", 1),
        _segment("EVN", {1: trigger, 2: "20261119101530", **(evn or {})}),
        _segment("PID", {1: "1", 3: "P77^^^NORTH^MR", 5: "Sample^Person", 7: "19800601", 8: "F", **(pid or {})}),
        _segment("PV1", {1: "1", 2: "I", 3: "ICU^12^A^NORTH", 19: "V9", 44: "20261119100000", **(pv1 or {})}),
    )
    return "".join(segment + end for segment in segments).encode()


def _segment(name: str, fields: Mapping[int, str], first: int = 1) -> str:
    return "|".join([name, *(fields.get(number, "") for number in range(first, max(fields) + 1))])


def _judged(events: Iterable[bytes | Mapping[str, Any]], text: str, read: ReadRows = no_other_file) -> pl.DataFrame:
    bodies = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    bronze = pl.DataFrame(
        {
            "hub_created_at": pl.Series([NOW] * len(bodies), dtype=INSTANT),
            "partition_id": ["0"] * len(bodies),
            "sequence_number": range(len(bodies)),
            "enqueued_at": pl.Series([NOW] * len(bodies), dtype=INSTANT),
            "body": pl.Series(bodies, dtype=pl.Binary),
        },
        schema_overrides={"sequence_number": pl.Int64},
    )
    return accept.validate(read_events(bronze, parser(text, read)))


def _departments() -> pl.DataFrame:
    path = resources.files("patient_flow") / "contracts" / "departments.csv"
    return pl.read_csv(path.read_bytes(), schema_overrides={"hospital_id": pl.String})
