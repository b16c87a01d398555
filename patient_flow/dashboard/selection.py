"""The filters of a page, parsed from its URL, and as conditions on frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from patient_flow.contracts import events
from patient_flow.dashboard.snapshot import PERIODS

DEFAULT_DAYS = 7
MAX_LENGTH = events.MAX_ID_LENGTH
AGE_BANDS = (*(label for _, label in events.AGE_BANDS), events.UNKNOWN)


@dataclass(frozen=True)
class Selection:
    """The viewer's selection; an empty text means all."""

    hospital: str = ""
    department: str = ""
    gender: str = ""
    age: str = ""
    days: int = DEFAULT_DAYS
    search: str = ""
    """A part of the names of hospitals or departments: for the board only."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Selection:
        """The selection in an address. What makes no sense there counts as not given."""
        gender, age, days = (query.get(name, "") for name in ("gender", "age", "days"))
        return cls(
            hospital=query.get("hospital", "")[:MAX_LENGTH],
            department=query.get("department", "")[:MAX_LENGTH],
            gender=gender if gender in events.GENDERS else "",
            age=age if age in AGE_BANDS else "",
            days=int(days) if days in map(str, PERIODS) else DEFAULT_DAYS,
            search=query.get("search", "").strip()[:MAX_LENGTH],
        )

    def but(self, **changes: str | int) -> Selection:
        """This selection with some filters set otherwise."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def parameters(self) -> dict[str, str]:
        """The filters that differ from the default, as in an address."""
        chosen = {"hospital": self.hospital, "department": self.department, "gender": self.gender, "age": self.age}
        days = {"days": str(self.days)} if self.days != DEFAULT_DAYS else {}
        search = {"search": self.search}
        return {name: value for name, value in (chosen | days | search).items() if value}
