"""Beds: can so many patients lie in a department?"""

from __future__ import annotations

import polars as pl

from patient_flow.contracts import measures
from patient_flow.health.findings import Finding, fine, grave, warning

c = pl.col

SHOWN = 20
"""Departments that are named; more would not be read."""


def occupancy_plausible(census: pl.DataFrame, departments: pl.DataFrame, *, since: int = 0) -> Finding:
    """``census`` (FactBedCensus) of one hour, or of all, against the staffed beds in ``departments`` (DimDepartment).

    A count below one is grave: hours with nobody in bed have no row, so the counting went wrong. Such a count is wrong
    for ever, too many patients only in hours from ``since`` (a ``time_key``) on.
    """
    impossible = census.filter(c("occupied_beds") < 1).height
    hourly = (
        census.filter(c("time_key") >= since)
        .group_by("time_key", "department_key")
        .agg(c("occupied_beds").sum())
        .join(departments.select("department_key", "hospital_id", "department", "staffed_beds"), on="department_key")
    )
    highest = (
        hourly.filter(c("staffed_beds") > 0)
        .with_columns(occupancy_pct=(100.0 * c("occupied_beds") / c("staffed_beds")).round(1))
        .sort("occupancy_pct", "time_key", descending=True)
        .unique("department_key", keep="first", maintain_order=True)
    )
    full = highest.filter(c("occupancy_pct") > measures.OCCUPANCY_PLAUSIBLE_PCT)
    figures = {
        "highest_pct": float(highest["occupancy_pct"][0]) if highest.height else 0.0,
        "departments_above": full.height,
        "impossible_counts": impossible,
    }
    rows = (
        full.head(SHOWN)
        .select("hospital_id", "department", "staffed_beds", "occupied_beds", "occupancy_pct", hour="time_key")
        .to_dicts()
    )
    if impossible:
        return grave(f"{impossible:,} hours count less than one patient in bed.", figures, rows)
    if full.height:
        return warning(
            f"{full.height:,} departments have more than {measures.OCCUPANCY_PLAUSIBLE_PCT:g} % of their staffed beds "
            "occupied.",
            figures,
            rows,
        )
    return fine("No department is far above its staffed beds.", figures)
