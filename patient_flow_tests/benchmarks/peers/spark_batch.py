# /// script
# requires-python = ">=3.11"
# dependencies = ["pyspark==4.3.0"]
# ///
"""The batch job in Spark SQL on two local cores: the queries of ``spark_batch.sql``, from bronze's files to Parquet.

    uv run --script spark_batch.py LAKE OUT          (needs Java 17)

It leaves out what ``duckdb_batch.py`` leaves out. Built-in functions and adaptive execution only: no Python runs on
rows. Its environment is its own, because the package ``pyspark`` would replace the client that the tests use.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

SETTINGS = {
    "spark.driver.memory": "6g",
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.adaptive.enabled": "true",
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
        rows = spark.sql(sql)
        if kind == "table":
            rows.write.parquet(f"{out}/{name}.parquet")
            rows = spark.read.parquet(f"{out}/{name}.parquet")
        rows.createOrReplaceTempView(name)
    print(json.dumps({"steps": seconds}))
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
