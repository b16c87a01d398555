"""Departments in a fixed order, with the version of each that is valid at an instant."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from patient_flow.forecasting.beds import Departments

c = pl.col


@dataclass(frozen=True)
class Places:
    """Departments in a fixed order, from DimDepartment.

    ``frame`` has a row per version with its ``place``; the other fields one element per place.
    """

    frame: pl.DataFrame
    names: pl.DataFrame
    departments: Departments
    hospitals: list[str]

    @classmethod
    def of(cls, versions: pl.DataFrame) -> Places:
        """The places of DimDepartment's versions without the unknown member."""
        versions = versions.filter(c("department_key") != 0)
        names = (
            versions.select("hospital_id", "department")
            .unique()
            .sort("hospital_id", "department")
            .with_row_index("place")
        )
        frame = versions.join(names, on=["hospital_id", "department"])
        newest = frame.sort("valid_from").group_by("place", maintain_order=True).agg(c("class").last()).sort("place")
        kinds = newest["class"].fill_null("inpatient")
        hospitals = sorted(names["hospital_id"].unique())
        return cls(
            frame,
            names,
            Departments(
                kinds.rank("dense").cast(pl.Int64).to_numpy() - 1,
                names["hospital_id"]
                .replace_strict({name: at for at, name in enumerate(hospitals)})
                .cast(pl.Int64)
                .to_numpy(),
            ),
            hospitals,
        )

    def place_of_key(self) -> pl.DataFrame:
        """department_key → place."""
        return self.frame.select("department_key", c("place").cast(pl.Int64))

    def version_at(self, targets: pl.Series) -> pl.DataFrame:
        """place, target_at → department_key, staffed_beds and class of the version that is valid then."""
        rows = self.names.select("place").join(targets.to_frame("target_at"), how="cross").sort("target_at")
        versions = self.frame.select("place", "valid_from", "department_key", "staffed_beds", "class").sort(
            "valid_from"
        )
        found = rows.join_asof(versions, left_on="target_at", right_on="valid_from", by="place", check_sortedness=False)
        first = versions.group_by("place", maintain_order=True).first()
        found = found.join(first.select("place", first_key="department_key"), on="place")
        return found.with_columns(c("department_key").fill_null(c("first_key"))).drop("first_key", "valid_from")
