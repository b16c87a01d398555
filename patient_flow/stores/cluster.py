"""A Spark cluster behind Spark Connect: runs functions on Polars frames on its workers.

The client library comes with the extra ``spark`` and is imported only when a session starts. Workers import this module
too (for :func:`_each` and the like), so it imports nothing but Polars. Not here: what the functions do, and commits to
the lake.
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
"""Rows → rows, on a worker. It is pickled: a function of a module, or an instance of a dataclass of a module."""
FoldOfTwo = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]

PACKAGE = "patient-flow"
SECONDS_TO_CONNECT = 10
MIN_ROWS_PER_CALL = 100_000
"""Minimum number of rows per call of a function of arbitrary rows, except for the last call."""
MAX_ERROR_LENGTH = 300

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
    pl.List(pl.Datetime("us", "UTC")): "array<timestamp>",
}
"""Types of the tables → their names in Spark."""


class ClusterError(OperatorError):
    """The cluster cannot be used; the one-line message says why, and what to do."""


class Pinned(Protocol):
    """A Delta table at one version, with its declaration."""

    table: Table

    @property
    def version(self) -> int:
        """The version to read."""

    @property
    def uri(self) -> str:
        """URI of the table."""


class Cluster:
    """One session on the cluster at ``remote`` (``sc://HOST:PORT/;use_ssl=true``).

    Without ``token``, the one in ``remote`` or in SPARK_CONNECT_AUTHENTICATE_TOKEN is used.

    Raises :class:`ClusterError` when the client library is missing, no server answers, or the workers cannot run this
    package's functions.
    """

    def __init__(self, remote: str, token: str | None = None) -> None:
        self._place = _without_parameters(remote)
        self._session = self._connect(remote, token)
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
        """Ends the session and cancels what still runs in it."""
        with contextlib.suppress(Exception):  # the session or the cluster may have ended
            self._session.interruptAll()
        with contextlib.suppress(Exception):
            self._session.stop()

    def rows(self, table: Pinned, columns: Iterable[str]) -> Rows:
        """``columns`` of a Delta table at its pinned version. The cluster reads it with its own credentials."""
        schema = pl.Schema({name: table.table.schema[name] for name in columns})
        with self._wrap_spark_errors():
            read = self._session.read.format("delta").option("versionAsOf", str(table.version)).load(table.uri)
            return Rows(read.select(*schema.names()), schema, self)

    def _connect(self, remote: str, token: str | None) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the version of pandas, which is not used here
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
            if token:
                builder.set(DefaultChannelBuilder.PARAM_TOKEN, token)
        except PySparkException:  # without the original message, which may quote a token
            raise ClusterError(
                f"--remote {self._place} is not a Spark Connect address: write sc://HOST[:PORT][/;use_ssl=true]"
            ) from None
        try:
            with builder.toChannel() as channel:
                grpc.channel_ready_future(channel).result(timeout=SECONDS_TO_CONNECT)
        except grpc.FutureTimeoutError:
            raise ClusterError(
                f"no Spark Connect server answers at {self._place} within {SECONDS_TO_CONNECT} s: check --remote, the "
                "network in between, and whether the server requires use_ssl=true"
            ) from None
        with self._wrap_spark_errors():
            return SparkSession.builder.channelBuilder(builder).create()

    def _check_worker_environment(self) -> None:
        """Compares the versions and the code of a worker with this process.

        The function is pickled by value, because the worker may not have this package.
        """

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
            to_read = [root / name for name in ("contracts", "dialects", "transforms", "pipeline", "stores")]
            code = {}
            while to_read:
                place = to_read.pop()
                if place.is_dir():
                    to_read.extend(place.iterdir())
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
                f"the workers of {self._place} run Python {theirs['python']}, this process {ours['python']}: use the "
                "same minor version, as functions are pickled"
            )
        for package in ("polars", PACKAGE):
            if theirs[package] != ours[package]:
                raise ClusterError(
                    f"{package} on the workers of {self._place} is {theirs[package] or 'missing'}, in this process "
                    f"{ours[package]}: install the same version on the cluster (infra/docs/cluster.md)"
                )
        if theirs["code"] != ours["code"]:  # they would apply other rules
            raise ClusterError(
                f"the workers of {self._place} have another build of {PACKAGE} {ours[PACKAGE]}: install the "
                "same wheel on the cluster and restart it (infra/docs/cluster.md)"
            )

    @contextlib.contextmanager
    def _wrap_spark_errors(self) -> Iterator[None]:
        """Raises exceptions of the client as :class:`ClusterError`, on one line."""
        import grpc
        from pyspark.errors import PySparkException

        try:
            yield
        except (PySparkException, grpc.RpcError) as error:
            raise ClusterError(_describe_error(str(error), self._place)) from error


class Rows:
    """A lazy query on the cluster: :meth:`write` runs it.

    Functions are passed as lambdas, because the client inspects arguments and annotations of other functions.
    """

    def __init__(self, frame: DataFrame, schema: pl.Schema, cluster: Cluster) -> None:
        self._frame = frame
        self._schema = schema
        self._cluster = cluster

    def each(self, function: Fold, schema: pl.Schema) -> Rows:
        """``function`` of arbitrary batches of the rows: it must treat each row separately."""
        with self._cluster._wrap_spark_errors():  # the client asks the server for columns before anything runs
            made = self._frame.mapInArrow(lambda batches: _each(function, schema, batches), _ddl(schema))
        return Rows(made, schema, self._cluster)

    def per(self, key: str, function: Fold, schema: pl.Schema) -> Rows:
        """``function`` of all rows with the same ``key``; they must fit into the memory of one worker."""
        with self._cluster._wrap_spark_errors():
            made = self._frame.groupBy(key).applyInArrow(lambda table: _per(function, schema, table), _ddl(schema))
        return Rows(made, schema, self._cluster)

    def per_both(self, others: Rows, key: str, function: FoldOfTwo, schema: pl.Schema) -> Rows:
        """``function`` of all rows and all ``others`` with the same ``key``.

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
        """The rows with an additional integer column ``name``, computed by the SQL expression ``number``."""
        numbered = self._frame.selectExpr("*", f"cast({number} as int) as {name}")
        return Rows(numbered, pl.Schema({**self._schema, name: pl.Int32()}), self._cluster)

    def beside(self, others: Rows, column: str, name: str) -> Rows:
        """The rows, repeated for each value of ``name`` that ``others`` have with the same ``column``."""
        pairs = others._frame.select(column, name).distinct()
        schema = pl.Schema({**self._schema, name: others._schema[name]})
        with self._cluster._wrap_spark_errors():
            return Rows(self._frame.join(pairs, column).select(*schema.names()), schema, self._cluster)

    def write(self, uri: str, partition_by: Iterable[str]) -> None:
        """Computes the rows and writes them to a new Delta table in one commit: readers see all of them or none."""
        with self._cluster._wrap_spark_errors():
            self._frame.write.format("delta").mode("overwrite").partitionBy(*partition_by).save(uri)


_KEY, _OTHER = "_key", "other_"


@dataclass(frozen=True)
class _Both:
    """Applies a function of two frames to the single frame in which :meth:`Rows.per_both` sends them."""

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
    """The function of ``mapInArrow``: joins batches until they have :data:`MIN_ROWS_PER_CALL` rows."""
    pending: list[pl.DataFrame] = []
    for batch in batches:
        pending.append(_frame(batch))
        if sum(frame.height for frame in pending) >= MIN_ROWS_PER_CALL:
            yield from _arrow(function(pl.concat(pending)), schema).to_batches()
            pending = []
    if pending:
        yield from _arrow(function(pl.concat(pending)), schema).to_batches()


def _per(function: Fold, schema: pl.Schema, table: pa.Table) -> pa.Table:
    """The function of ``applyInArrow``."""
    return _arrow(function(_frame(table)), schema)


def stream(frames: Iterable[pl.DataFrame], schema: pl.Schema) -> pa.RecordBatchReader:
    """``frames`` as one lazy Arrow stream."""
    import pyarrow as pa

    batches = (batch for frame in frames for batch in _arrow(frame, schema).to_batches())
    return pa.RecordBatchReader.from_batches(_arrow(pl.DataFrame(schema=schema), schema).schema, batches)


def _frame(arrow: pa.Table | pa.RecordBatch) -> pl.DataFrame:
    frame = pl.DataFrame(arrow)
    instants = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(instants).cast(pl.Datetime("us", "UTC")))


def _arrow(frame: pl.DataFrame, schema: pl.Schema) -> pa.Table:
    """``frame`` in Arrow types that Spark accepts: no views, no 64-bit offsets."""
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
        "array<timestamp>": pa.list_(pa.timestamp("us", "UTC")),
    }
    return plain[_TYPES[dtype]]


def _ddl(schema: pl.Schema) -> str:
    return ", ".join(f"`{name}` {_TYPES[dtype]}" for name, dtype in schema.items())


def _describe_error(error: str, place: str) -> str:
    """One line about an error of the client or the server.

    Of an exception on a worker it contains the class only: the message may quote patient data.
    """
    if "PYTHON_VERSION_MISMATCH" in error:
        ours = ".".join(map(str, sys.version_info[:2]))
        return f"the workers of {place} run another Python than this process ({ours}): use the same minor version"
    missing = re.search(r"No module named '([\w.]+)'", error)
    if missing:
        return (
            f"the workers of {place} lack the Python package of {missing[1]}: install {PACKAGE} on the cluster "
            "(infra/docs/cluster.md)"
        )
    if "UNAUTHENTICATED" in error or "PERMISSION_DENIED" in error:
        return f"{place} denied access: check the token and its permissions"
    if "Traceback" in error:
        kinds = re.findall(r"^([\w.]+(?:Error|Exception|Warning|Interrupt|Exit))\b", error, flags=re.MULTILINE)
        return f"a worker of {place} failed with {kinds[-1] if kinds else 'an exception'}: see the log of the worker"
    line = _one_line(error)
    return f"{place}: {line[:MAX_ERROR_LENGTH]}{'…' if len(line) > MAX_ERROR_LENGTH else ''}"


def _without_parameters(remote: str) -> str:
    """The address without its parameters, which may contain a token."""
    return remote.partition("/;")[0].partition("?")[0]


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
