# /// script
# requires-python = ">=3.11"
# dependencies = ["pyspark==4.3.0"]
# ///
"""The batch job in Spark SQL on two local cores: the queries of ``spark_batch.sql``, from bronze's files to Parquet.

    uv run --script spark_batch.py LAKE OUT          (needs Java 17)

It leaves out what ``duckdb_batch.py`` leaves out. Built-in functions only: no Python runs on rows. Bodies are parsed
once. In the file of queries, ``table`` is written as Parquet and read back, ``cache`` kept in memory, ``write`` only
written, ``view`` neither; ``drop`` frees memory. Tables are read back because a plan over cached tables holds the plans
of all of them, several times each: Spark then analyzes plans for minutes, however few the rows. Its environment is its
own, because the package ``pyspark`` would replace the client that the tests use.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pyspark import StorageLevel
from pyspark.sql import SparkSession

SETTINGS = {
    "spark.driver.memory": "6g",
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    "spark.shuffle.compress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.autoBroadcastJoinThreshold": "64m",
    "spark.sql.files.maxPartitionBytes": "64m",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


def main(lake: str, out: str) -> None:
    began = last = time.perf_counter()
    builder = SparkSession.builder.master("local[2]")
    for name, value in SETTINGS.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.read.parquet(f"{lake}/bronze/patient_events").createOrReplaceTempView("bronze")
    spark.read.parquet(f"{lake}/departments.parquet").createOrReplaceTempView("ref")
    seconds = {"start": round(time.perf_counter() - began, 2)}
    for part in Path(__file__).with_suffix(".sql").read_text().split("\n-- ")[1:]:
        head, _, sql = part.partition("\n")
        kind, _, name = head.partition(": ")
        if kind == "step":
            seconds[name] = round(time.perf_counter() - last, 2)
            last = time.perf_counter()
            continue
        if kind == "drop":
            spark.catalog.uncacheTable(name)
            continue
        rows = spark.sql(sql)
        if kind in ("table", "write"):
            rows.write.parquet(f"{out}/{name}.parquet")
        if kind == "table":
            rows = spark.read.parquet(f"{out}/{name}.parquet")
        rows.createOrReplaceTempView(name)
        if kind == "cache":
            spark.catalog.cacheTable(name, StorageLevel.MEMORY_AND_DISK)
            spark.table(name).write.format("noop").mode("overwrite").save()
    print(json.dumps({"steps": seconds}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
