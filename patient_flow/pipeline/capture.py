"""Event Hubs Capture → bronze: what bronze lacks and the hub no longer holds, under its old coordinates.

Everything is examined before a row is written. Rows enter partition by partition in the order of their numbers, and
each commit records how far the partition was read, as a micro-batch does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import polars as pl

from patient_flow.contracts.erasure import MARKER
from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.tables import BRONZE_EVENTS, SILVER_EVENTS
from patient_flow.pipeline.backlog import identity
from patient_flow.pipeline.checkpoints import FOLLOWED_HUB, incarnation, lost_events, partition_count, position
from patient_flow.pipeline.steps import StepContext, while_writing
from patient_flow.stores.capture import Captured, CaptureRefused, events, partition_of
from patient_flow.stores.hub import HubState
from patient_flow.stores.lake.table import LakeTable
from patient_flow.wording import plural

ROWS_AT_ONCE = 50_000
BYTES_AT_ONCE = 64 * 1024 * 1024
_SECOND = timedelta(seconds=1)
"""Capture writes whole seconds."""
_MAX_NAMES = 5

c = pl.col

_SURVEY = pl.Schema(
    {
        "partition_id": pl.String(),
        "sequence_number": pl.Int64(),
        "enqueued_at": pl.Datetime("us", "UTC"),
        "digest": pl.Binary(),
        "file": pl.Int32(),
    }
)


@dataclass
class Survey:
    """What is in the files: a row per event, without its body; and what an operator should know of the files."""

    files: list[Path]
    rows: pl.DataFrame = field(default_factory=_SURVEY.to_frame)
    cut_off: list[Path] = field(default_factory=list)
    overlapping: list[Path] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """A line per kind of damage."""
        if self.cut_off:
            yield f"cut off, restored up to their last whole event: {_names(self.cut_off)}"
        if self.overlapping:
            yield f"overlap with others, each event restored once: {_names(self.overlapping)}"


def survey(files: list[Path], partition: str | None) -> Survey:
    """Reads all files once.

    Raises ``CaptureRefused`` where a path does not name its partition and none is given, and where the numbers of a
    partition start again.
    """
    found = Survey(files)
    parts = []
    for number, path in enumerate(files):
        named = partition if partition is not None else partition_of(path)
        if named is None:
            raise CaptureRefused(f"{path}: the path does not name the partition; give it with --partition")
        stated = [
            (named, event.sequence_number, event.enqueued_at, _digest(event.body), number)
            for event in events(path, found.cut_off.append)
        ]
        parts.append(pl.DataFrame(stated, schema=_SURVEY, orient="row"))
    rows = pl.concat([_SURVEY.to_frame(), *parts])
    key = ["partition_id", "sequence_number"]
    _require_one_incarnation(rows, files)
    twice = rows.group_by(key).agg(c("file").unique()).filter(c("file").list.len() > 1)
    found.overlapping = [files[number] for number in sorted(set(twice["file"].explode().to_list()))]
    found.rows = rows.unique(key, keep="first", maintain_order=True)
    return found


def created_at(context: StepContext, found: Survey, state: HubState | None, given: datetime | None) -> datetime:
    """When the hub was created whose events the files hold: as given, else as hub and silver know their times.

    Raises ``CaptureRefused`` where neither fits.
    """
    if given is not None:
        return given
    silver = context.lake.open(SILVER_EVENTS).scan().filter(c("hub_created_at") > NO_HUB)
    known: set[datetime] = set(
        silver.select(c("hub_created_at").unique()).collect(engine="streaming").to_series().to_list()
    )
    known |= set() if state is None else {state.created_at}
    first, last = found.rows["enqueued_at"].min(), found.rows["enqueued_at"].max()
    earlier = [at for at in known if isinstance(first, datetime) and at <= first + _SECOND]
    later = [at for at in known if at not in earlier]
    if not earlier or (later and isinstance(last, datetime) and min(later) < last):
        raise CaptureRefused(
            "when the hub of these files was created is unknown: neither the hub nor silver has a time that fits them "
            "all. Give it with --hub-created-at, and restore the files of each creation of the hub by themselves"
        )
    return max(earlier)


@while_writing
def restore(context: StepContext, found: Survey, created: datetime, state: HubState | None) -> Iterator[str]:
    """Appends what bronze lacks and the hub, where it can be asked, no longer holds; yields a line per partition.

    Raises ``CaptureRefused``, before a row is written, where bronze has another body under the same coordinates.
    """
    bronze = context.lake.open(BRONZE_EVENTS)
    held = _held(bronze, found.rows["partition_id"].unique().to_list(), created)
    _require_same_bodies(found.rows, held)
    for partition in sorted(found.rows["partition_id"].unique().to_list(), key=_natural):
        rows = found.rows.filter(partition_id=partition)
        first_at_hub = _first_at_hub(state, created, partition)
        wanted = rows.join(held, on=["partition_id", "sequence_number"], how="anti")["sequence_number"]
        if first_at_hub is not None:
            wanted = wanted.filter(wanted < first_at_hub)
        missing = set(wanted.to_list())
        files = [
            found.files[number]
            for number in rows.group_by("file").agg(c("sequence_number").min()).sort("sequence_number")["file"]
        ]
        for chunk in _chunks(files, missing):
            bronze = _append(context, chunk, partition, created, state)
        yield _summary(context.lake.open(BRONZE_EVENTS), partition, created, wanted, first_at_hub)


def _append(
    context: StepContext, chunk: list[Captured], partition: str, created: datetime, state: HubState | None
) -> LakeTable:
    bronze = context.lake.open(BRONZE_EVENTS)
    schema = BRONZE_EVENTS.schema
    frame = pl.DataFrame(chunk, schema=Captured._fields, orient="row").with_columns(
        hub_created_at=pl.lit(created),
        partition_id=pl.lit(partition),
        ingested_at=pl.lit(context.now),
        ingested_date=pl.lit(context.now.date()),
        run_id=pl.lit(context.run_id),
    )
    rows = frame.select(c(name).cast(dtype) for name, dtype in schema.items())
    milliseconds = int(created.timestamp() * 1000)
    hub = _hub(context, state)
    read = position(hub, milliseconds, partition)
    last = max(read.read(bronze.checkpoint) or -1, chunk[-1].sequence_number)
    recorded = read.of(last)
    if incarnation(hub).read(bronze.checkpoint) is None and (state is None or state.created_at == created):
        recorded |= {**FOLLOWED_HUB.of(hub), **incarnation(hub).of(milliseconds)}
        recorded |= {} if state is None else partition_count(hub, milliseconds).of(len(state.partitions))
    bronze.append(rows, recorded, run_id=context.run_id)
    return bronze


def record_losses(context: StepContext, found: Survey, created: datetime) -> int:
    """Records, as events that are lost, the numbers that bronze lacks between those it has; returns how many."""
    bronze, milliseconds = context.lake.open(BRONZE_EVENTS), int(created.timestamp() * 1000)
    recorded: dict[str, int] = {}
    lost = 0
    for partition in found.rows["partition_id"].unique().to_list():
        missing = sum(last - first + 1 for first, last in _gaps(_numbers(bronze, partition, created)))
        lost += missing
        recorded |= lost_events(milliseconds, partition).of(missing)
    bronze.record(recorded)
    return lost


def _hub(context: StepContext, state: HubState | None) -> str:
    if state is not None:
        return identity(state.host, state.name)
    return "" if context.hub is None else identity(context.hub.host, context.hub.name)


def _first_at_hub(state: HubState | None, created: datetime, partition: str) -> int | None:
    """The first number that the hub still holds of a partition; None where it cannot be asked, or is another one."""
    if state is None or state.created_at != created:
        return None
    return next((part.first_sequence_number for part in state.partitions if part.partition_id == partition), None)


def _chunks(files: Iterable[Path], missing: set[int]) -> Iterator[list[Captured]]:
    chunk: list[Captured] = []
    size = 0
    for path in files:
        for event in events(path, lambda _: None):
            if event.sequence_number not in missing:
                continue
            missing.discard(event.sequence_number)
            chunk.append(event)
            size += len(event.body)
            if len(chunk) >= ROWS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk


def _held(bronze: LakeTable, partitions: list[str], created: datetime) -> pl.DataFrame:
    """partition_id, sequence_number and digest of bronze's rows of this hub; none where a person was erased."""
    of_hub = bronze.scan().filter(c("hub_created_at") == created, c("partition_id").is_in(partitions))
    found = [
        batch.select(
            "partition_id",
            "sequence_number",
            held=pl.Series(
                [None if body and MARKER.encode() in body else _digest(body) for body in batch["body"]],
                dtype=pl.Binary(),
            ),
        )
        for batch in of_hub.select("partition_id", "sequence_number", "body").collect_batches(chunk_size=5_000)
    ]
    empty = pl.DataFrame(schema={"partition_id": pl.String(), "sequence_number": pl.Int64(), "held": pl.Binary()})
    return pl.concat([empty, *(frame.cast({"held": pl.Binary()}) for frame in found)])


def _require_same_bodies(rows: pl.DataFrame, held: pl.DataFrame) -> None:
    both = rows.join(held, on=["partition_id", "sequence_number"]).filter(c("digest") != c("held"))
    if both.height:
        partition, number = both.row(0)[:2]
        raise CaptureRefused(
            f"bronze has another body than the files for {plural(both.height, 'event')} (the first is number "
            f"{number:,} of partition {partition}): the files are of another creation of the hub. Give its time with "
            "--hub-created-at"
        )


def _require_one_incarnation(rows: pl.DataFrame, files: list[Path]) -> None:
    key = ["partition_id", "sequence_number"]
    differing = rows.group_by(key).agg(c("digest").n_unique(), c("file").max()).filter(c("digest") > 1)
    ordered = rows.sort(*key, "enqueued_at")
    is_earlier = (c("partition_id") == c("partition_id").shift()) & (
        c("enqueued_at") + _SECOND < c("enqueued_at").shift()
    )
    again = pl.concat([differing.select("file"), ordered.filter(is_earlier).select("file")])
    if again.height:
        raise CaptureRefused(
            f"the numbers of a partition start again (see {files[again.item(0, 0)].name}): the files are of several "
            "creations of the hub. Restore the files of each by themselves, with its --hub-created-at"
        )


def _numbers(bronze: LakeTable, partition: str, created: datetime) -> pl.Series:
    of_partition = bronze.scan().filter(c("hub_created_at") == created, c("partition_id") == partition)
    return of_partition.select("sequence_number").collect(engine="streaming").to_series().sort()


def _gaps(numbers: pl.Series) -> list[tuple[int, int]]:
    frame = numbers.to_frame("number").with_columns(before=c("number").shift())
    return list(frame.filter(c("number") > c("before") + 1).select(c("before") + 1, c("number") - 1).iter_rows())


def _summary(
    bronze: LakeTable, partition: str, created: datetime, restored: pl.Series, first_at_hub: int | None
) -> str:
    numbers = _numbers(bronze, partition, created)
    gaps = _gaps(numbers)
    last = -1 if numbers.is_empty() else int(numbers[-1])
    if first_at_hub is not None and last >= 0 and last < first_at_hub - 1:
        gaps.append((last + 1, first_at_hub - 1))
    lost = sum(end - start + 1 for start, end in gaps)
    named = ", ".join(f"{start:,} to {end:,}" for start, end in gaps[:_MAX_NAMES])
    line = f"partition {partition}: {plural(restored.len(), 'event')} restored"
    if numbers.len():
        line += f", bronze holds {numbers[0]:,} to {last:,}"
    return line if not lost else f"{line}; LOST: {plural(lost, 'event')}, in no file ({named})"


def _names(paths: list[Path]) -> str:
    shown = ", ".join(path.as_posix() for path in paths[:_MAX_NAMES])
    return shown if len(paths) <= _MAX_NAMES else f"{shown} and {len(paths) - _MAX_NAMES:,} more"


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).digest()


def _natural(partition: str) -> tuple[int, str]:
    return (int(partition) if partition.isdecimal() else 0, partition)
