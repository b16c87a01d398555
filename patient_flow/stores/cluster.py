"""A Spark cluster, spoken to by Spark Connect: frames of Polars in and out of functions that run on its workers.

The client library comes with the extra ``spark`` and is imported where a session begins, nowhere else. Workers import
this module too (they find :func:`_each` and its siblings here), so it needs no more than Polars. Not here: what
the functions do, and any commit to a table of the lake.
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from patient_flow.errors import OperatorError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from patient_flow.contracts.tables import Table

Fold = Callable[[pl.DataFrame], pl.DataFrame]
"""Rows → rows, on a worker. It is sent there by pickle: a function of a module, or an instance of its dataclasses."""
FoldOfTwo = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]

PACKAGE = "patient-flow"
SECONDS_TO_CONNECT = 10
ROWS_AT_ONCE = 100_000
"""Rows that one call of a function for any rows gets at least, as long as there are so many."""
LONGEST_COMPLAINT = 300

_TYPES = {
    pl.String(): "string",
    pl.Int64(): "bigint",
    pl.Int32(): "int",
    pl.Int16(): "smallint",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
    pl.Binary(): "binary",
    pl.Date(): "date",
    pl.Datetime("us", "UTC"): "timestamp",
    pl.List(pl.String()): "array<string>",
}
"""Types of our tables → Spark's names for them."""


class ClusterError(OperatorError):
    """The cluster cannot be used; the message says on one line why, and what to do."""


class Pinned(Protocol):
    """A Delta table at one version, with its declaration."""

    table: Table

    @property
    def version(self) -> int:
        """The version to read."""

    @property
    def uri(self) -> str:
        """Where it is stored."""


class Cluster:
    """One session on the cluster at ``remote`` (``sc://HOST:PORT/;use_ssl=true;token=…``).

    Raises :class:`ClusterError` when the client library is missing, nobody answers there, or the workers could not run
    this package's functions.
    """

    def __init__(self, remote: str) -> None:
        self._place = _without_parameters(remote)
        self._session = self._connect(remote)
        with self._wrap_spark_errors():
            self._session.conf.set("spark.sql.session.timeZone", "UTC")
            # Spark's own default for Parquet is an old type without a zone.
            self._session.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
            self._check_worker_environment()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session; what still runs in it is given up."""
        with contextlib.suppress(Exception):  # it may have ended, or the cluster with it
            self._session.interruptAll()
        with contextlib.suppress(Exception):
            self._session.stop()

    def rows(self, table: Pinned, columns: Iterable[str]) -> Rows:
        """``columns`` of a Delta table as it was at its pinned version. The cluster has its own right to read it."""
        schema = pl.Schema({name: table.table.schema[name] for name in columns})
        with self._wrap_spark_errors():
            read = self._session.read.format("delta").option("versionAsOf", str(table.version)).load(table.uri)
            return Rows(read.select(*schema.names()), schema, self)

    def _connect(self, remote: str) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about versions of pandas, which nothing here uses
                import grpc
                from pyspark.errors import PySparkException
                from pyspark.sql.connect.client import DefaultChannelBuilder
                from pyspark.sql.connect.session import SparkSession
        except ImportError as error:
            raise ClusterError(
                f"--engine spark needs the Spark Connect client ({_one_line(error)}): pip install '{PACKAGE}[spark]'"
            ) from error
        try:
            builder = DefaultChannelBuilder(remote)
        except PySparkException:  # not in its own words: they may quote a token
            raise ClusterError(
                f"--remote {self._place} is no address of Spark Connect: write sc://HOST[:PORT][/;use_ssl=true;token=…]"
            ) from None
        try:
            with builder.toChannel() as channel:
                grpc.channel_ready_future(channel).result(timeout=SECONDS_TO_CONNECT)
        except grpc.FutureTimeoutError:
            raise ClusterError(
                f"no Spark Connect server answers at {self._place} within {SECONDS_TO_CONNECT} s: check --remote, the "
                "network between here and there, and whether it wants use_ssl=true"
            ) from None
        with self._wrap_spark_errors():
            return SparkSession.builder.channelBuilder(builder).create()

    def _check_worker_environment(self) -> None:
        """Asks a worker what it has. The question is sent whole, for the worker may know nothing of this package."""

        def installed() -> dict[str, str]:
            import hashlib
            import platform
            from importlib import metadata, resources

            found = {
                "python": ".".join(platform.python_version_tuple()[:2]),
                "polars": "",
                "patient-flow": "",
                "code": "",
            }
            for package in ("polars", "patient-flow"):
                try:
                    found[package] = metadata.version(package)
                except metadata.PackageNotFoundError:
                    return found
            root = resources.files("patient_flow")
            waiting = [root / name for name in ("contracts", "dialects", "transforms", "pipeline", "stores")]
            code = {}
            while waiting:
                place = waiting.pop()
                if place.is_dir():
                    waiting.extend(place.iterdir())
                elif place.name.endswith(".py"):
                    code[str(place).partition("patient_flow")[2]] = place.read_bytes()
            text = b"".join(code[name] for name in sorted(code))
            return {**found, "code": hashlib.sha256(text).hexdigest()}

        def answer(_: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            import pyarrow

            yield pyarrow.RecordBatch.from_pydict({name: [value] for name, value in installed().items()})

        ours = installed()
        schema = ", ".join(f"`{name}` string" for name in ours)
        [theirs] = self._session.range(0, 1, 1, 1).mapInArrow(answer, schema).collect()
        if theirs["python"] != ours["python"]:
            raise ClusterError(
                f"the workers of {self._place} run Python {theirs['python']}, this is {ours['python']}: functions can "
                "only be sent between equal minor versions"
            )
        for package in ("polars", PACKAGE):
            if theirs[package] != ours[package]:
                raise ClusterError(
                    f"the workers of {self._place} have {package} {theirs[package] or 'not at all'}, here it is "
                    f"{ours[package]}: install the same on the cluster (infra/docs/cluster.md)"
                )
        if theirs["code"] != ours["code"]:  # they would judge by other rules
            raise ClusterError(
                f"the workers of {self._place} have another build of {PACKAGE} {ours[PACKAGE]} than this: install the "
                "same wheel on the cluster and restart it (infra/docs/cluster.md)"
            )

    @contextlib.contextmanager
    def _wrap_spark_errors(self) -> Iterator[None]:
        """The client's exceptions as one line each."""
        import grpc
        from pyspark.errors import PySparkException

        try:
            yield
        except (PySparkException, grpc.RpcError) as error:
            raise ClusterError(_complaint(str(error), self._place)) from error


class Rows:
    """Rows on the cluster, described and not yet made: :meth:`write` makes them.

    Lambdas, because the client looks at what it is given: it counts arguments and tries to understand annotations.
    """

    def __init__(self, frame: DataFrame, schema: pl.Schema, cluster: Cluster) -> None:
        self._frame = frame
        self._schema = schema
        self._cluster = cluster

    def each(self, function: Fold, schema: pl.Schema) -> Rows:
        """``function`` of the rows, a number of them at a time, as they come: it must not look from row to row."""
        with self._cluster._wrap_spark_errors():  # the client asks the server for columns even before anything runs
            made = self._frame.mapInArrow(lambda batches: _each(function, schema, batches), _ddl(schema))
        return Rows(made, schema, self._cluster)

    def per(self, key: str, function: Fold, schema: pl.Schema) -> Rows:
        """``function`` of all rows that share their ``key``; they must fit into the memory of one worker."""
        with self._cluster._wrap_spark_errors():
            made = self._frame.groupBy(key).applyInArrow(lambda table: _per(function, schema, table), _ddl(schema))
        return Rows(made, schema, self._cluster)

    def per_both(self, others: Rows, key: str, function: FoldOfTwo, schema: pl.Schema) -> Rows:
        """``function`` of all rows, and of all ``others``, that share their ``key``.

        Both are sent as one frame: Sail 0.7.2 has ``cogroup``, but it fails where a column holds a null.
        """
        ours, theirs = self._schema.names(), others._schema.names()
        sides = self._frame.selectExpr(
            f"`{key}` as {_KEY}", "false as is_other", *_columns(ours), *_nulls(others._schema)
        ).union(
            others._frame.selectExpr(
                f"`{key}` as {_KEY}", "true as is_other", *_nulls(self._schema, ""), *_columns(theirs, _OTHER)
            )
        )
        return Rows(sides, pl.Schema(), self._cluster).per(_KEY, _Both(function, tuple(ours), tuple(theirs)), schema)

    def numbered(self, name: str, number: str) -> Rows:
        """The rows with an integer column ``name``; ``number`` is SQL."""
        numbered = self._frame.selectExpr("*", f"cast({number} as int) as {name}")
        return Rows(numbered, pl.Schema({**self._schema, name: pl.Int32()}), self._cluster)

    def beside(self, others: Rows, column: str, name: str) -> Rows:
        """The rows once for each value of ``name`` that ``others`` have with the same ``column``."""
        pairs = others._frame.select(column, name).distinct()
        schema = pl.Schema({**self._schema, name: others._schema[name]})
        with self._cluster._wrap_spark_errors():
            return Rows(self._frame.join(pairs, column).select(*schema.names()), schema, self._cluster)

    def write(self, uri: str, partition_by: Iterable[str]) -> None:
        """Makes the rows and writes them as a Delta table of their own: a reader sees all of them or none."""
        with self._cluster._wrap_spark_errors():
            self._frame.write.format("delta").mode("overwrite").partitionBy(*partition_by).save(uri)


_KEY, _OTHER = "_key", "other_"


@dataclass(frozen=True)
class _Both:
    """A function of two frames as one of the single frame in which :meth:`Rows.per_both` sends them."""

    function: FoldOfTwo
    ours: tuple[str, ...]
    theirs: tuple[str, ...]

    def __call__(self, sides: pl.DataFrame) -> pl.DataFrame:
        others = sides.filter("is_other").select(pl.col(f"{_OTHER}{name}").alias(name) for name in self.theirs)
        return self.function(sides.filter(~pl.col("is_other")).select(self.ours), others)


def _columns(names: Iterable[str], prefix: str = "") -> list[str]:
    return [f"`{name}` as `{prefix}{name}`" for name in names]


def _nulls(schema: pl.Schema, prefix: str = _OTHER) -> list[str]:
    return [f"cast(null as {_TYPES[dtype]}) as `{prefix}{name}`" for name, dtype in schema.items()]


def _each(function: Fold, schema: pl.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What ``mapInArrow`` calls, with batches that are joined here to a size worth a call."""
    held: list[pl.DataFrame] = []
    for batch in batches:
        held.append(_frame(batch))
        if sum(frame.height for frame in held) >= ROWS_AT_ONCE:
            yield from _arrow(function(pl.concat(held)), schema).to_batches()
            held = []
    if held:
        yield from _arrow(function(pl.concat(held)), schema).to_batches()


def _per(function: Fold, schema: pl.Schema, table: pa.Table) -> pa.Table:
    """What ``applyInArrow`` calls."""
    return _arrow(function(_frame(table)), schema)


def stream(frames: Iterable[pl.DataFrame], schema: pl.Schema) -> pa.RecordBatchReader:
    """``frames`` as one Arrow stream that makes each of them when it is its turn."""
    import pyarrow as pa

    batches = (batch for frame in frames for batch in _arrow(frame, schema).to_batches())
    return pa.RecordBatchReader.from_batches(_arrow(pl.DataFrame(schema=schema), schema).schema, batches)


def _frame(arrow: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.DataFrame(arrow)
    instants = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(instants).cast(pl.Datetime("us", "UTC")))


def _arrow(frame: pl.DataFrame, schema: pl.Schema) -> pa.Table:
    """``frame`` with Arrow's plain types (no views, no 64-bit offsets), which are all that Spark takes."""
    import pyarrow as pa

    table = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items()).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )
    return table.cast(pa.schema([(name, _plain(dtype)) for name, dtype in schema.items()]))


def _plain(dtype: pl.DataType) -> pa.DataType:
    import pyarrow as pa

    plain = {
        "string": pa.string(),
        "bigint": pa.int64(),
        "int": pa.int32(),
        "smallint": pa.int16(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
        "array<string>": pa.list_(pa.string()),
    }
    return plain[_TYPES[dtype]]


def _ddl(schema: pl.Schema) -> str:
    return ", ".join(f"`{name}` {_TYPES[dtype]}" for name, dtype in schema.items())


def _complaint(said: str, place: str) -> str:
    """One line about an error of the client or the server.

    Of an exception on a worker only its kind: what else it says may quote what a row holds.
    """
    if "PYTHON_VERSION_MISMATCH" in said:
        ours = ".".join(map(str, sys.version_info[:2]))
        return f"the workers of {place} run another Python than this, which is {ours}: use the same minor version"
    missing = re.search(r"No module named '([\w.]+)'", said)
    if missing:
        return (
            f"the workers of {place} lack the Python package of {missing[1]}: install {PACKAGE} on the cluster "
            "(infra/docs/cluster.md)"
        )
    if "UNAUTHENTICATED" in said or "PERMISSION_DENIED" in said:
        return f"{place} refuses: check the token in --remote, and what it is allowed to do"
    if "Traceback" in said:
        kinds = re.findall(r"^([\w.]+(?:Error|Exception|Warning|Interrupt|Exit))\b", said, flags=re.MULTILINE)
        return f"a worker of {place} failed with {kinds[-1] if kinds else 'an exception'}: its log says where"
    line = _one_line(said)
    return f"{place}: {line[:LONGEST_COMPLAINT]}{'…' if len(line) > LONGEST_COMPLAINT else ''}"


def _without_parameters(remote: str) -> str:
    """The address without what follows it: a token may stand there."""
    return remote.partition("/;")[0].partition("?")[0]


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
