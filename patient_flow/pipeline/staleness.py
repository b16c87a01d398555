"""Which rows were read with a mapping file or a department list that has changed since.

Each table of events records what it was read with, and how many rows it held when that changed. A rebuild reads all
events again; a replay of the whole quarantine, all of quarantine.
"""

from __future__ import annotations

from patient_flow.contracts.tables import QUARANTINE, SILVER_EVENTS
from patient_flow.monitoring.inputs import FormerRows
from patient_flow.pipeline.checkpoints import FORMER_LIST_ROWS, FORMER_MAPPING_ROWS, LISTED_WITH, MAPPED_WITH
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.log import Checkpoints
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.keys import SEPARATOR
from patient_flow.transforms.read import ParserConfig

MAPPING, DEPARTMENTS = "source mapping", "department list"
_KEYS = {MAPPING: (MAPPED_WITH, FORMER_MAPPING_ROWS), DEPARTMENTS: (LISTED_WITH, FORMER_LIST_ROWS)}


def staleness(lake: Lake, parser: ParserConfig) -> FormerRows:
    """The rows of silver and quarantine that were read with a former mapping file or department list."""
    silver, quarantine = (lake.open(table) if lake.exists(table) else None for table in (SILVER_EVENTS, QUARANTINE))
    return FormerRows(
        {kind: (_former_rows(silver, kind, parser), _former_rows(quarantine, kind, parser)) for kind in _KEYS}
    )


def former_rows(table: LakeTable, parser: ParserConfig) -> int:
    """Rows of ``table`` that were read with a former mapping file or a former list, whichever concerns more."""
    return max(_former_rows(table, kind, parser) for kind in _KEYS)


def read_with(table: LakeTable, parser: ParserConfig) -> Checkpoints:
    """What a commit of rows that ``parser`` read records; nothing where the table records the same already.

    A table that records nothing yet (it was made by an earlier version) is taken to be read with the present ones.
    """
    recorded: dict[str, int] = {}
    for kind, (key, former) in _KEYS.items():
        text = _texts(parser)[kind]
        if not key.is_recorded(table.checkpoint):
            recorded |= {**key.of(text), **former.of(0)}
        elif not key.matches(table.checkpoint, text):
            recorded |= {**key.of(text), **former.of(table.row_count())}
    return recorded


def all_read_with(parser: ParserConfig) -> Checkpoints:
    """What a commit records after which ``parser`` has read every row of the table."""
    texts = _texts(parser)
    recorded: dict[str, int] = {}
    for kind, (key, former) in _KEYS.items():
        recorded |= {**key.of(texts[kind]), **former.of(0)}
    return recorded


def _former_rows(table: LakeTable | None, kind: str, parser: ParserConfig) -> int:
    key, former = _KEYS[kind]
    if table is None or not key.is_recorded(table.checkpoint):
        return 0
    rows = table.row_count()
    if not key.matches(table.checkpoint, _texts(parser)[kind]):
        return rows
    return min(former.read(table.checkpoint) or 0, rows)


def _texts(parser: ParserConfig) -> dict[str, str]:
    """What identifies the mapping file, and the names of the list, which decide how departments are spelled."""
    names = parser.departments.select("hospital_id", "department").unique().sort("hospital_id", "department")
    spellings = SEPARATOR.join(str(part) for row in names.iter_rows() for part in row)
    return {MAPPING: parser.mapping_digest, DEPARTMENTS: spellings}
