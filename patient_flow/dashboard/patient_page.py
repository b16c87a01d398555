"""A list of patients as a page and as CSV."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from patient_flow.dashboard.formats import Locale
from patient_flow.dashboard.pages import Request
from patient_flow.dashboard.parts import Table, Value
from patient_flow.dashboard.patients import HEADLINE, MAX_LISTED, TITLES, PatientList, headings, table_rows
from patient_flow.dashboard.spreadsheet import to_csv
from patient_flow.dashboard.templating import TEMPLATES
from patient_flow.dashboard.texts import Words


class PatientPage:
    """One list for one viewer."""

    def __init__(self, request: Request, listed: PatientList, zone: ZoneInfo) -> None:
        self._request = request
        self._listed = listed
        self._words = Words(request.language)
        self._locale = Locale(request.language, zone)

    def html(self) -> str:
        """The page, with the first rows of a long list."""
        frame, request = self._listed.frame, self._request
        named = [tuple(map(self._named, row)) for row in table_rows(frame.head(MAX_LISTED))]
        more = frame.height - len(named)
        return TEMPLATES.get_template("patients.html").render(
            words=self._words,
            language=request.language,
            viewer=request.viewer,
            title=TITLES[self._listed.of][request.language],
            where=self._where,
            moment=self._locale.moment(request.now),
            count=self._locale.counted(frame.height),
            more=self._locale.counted(more) if more > 0 else "",
            content=Table(headings(self._listed, request.language), named),
            text=self._locale.value,
            back="./" + request.address(request.selection.but(gender="", age="")),
            export="patients.csv" + request.address(request.selection, **self._address),
        )

    def csv(self) -> str:
        """All rows; the column ``period`` says that they are those of now."""
        frame = self._listed.frame
        rows = ([*row, "now"] for row in table_rows(frame))
        return to_csv([[*frame.columns, "period"], *rows])

    def _named(self, value: Value) -> Value:
        return self._words.name(value) if isinstance(value, str) else value

    @property
    def _address(self) -> dict[str, str]:
        classes = {"classes": HEADLINE} if self._listed.is_headline else {}
        return {"of": self._listed.of, **classes}

    @property
    def _where(self) -> str:
        """The filters in words."""
        selection, words = self._request.selection, self._words
        hospitals = self._listed.rows.hospitals
        parts = [
            hospitals.get(selection.hospital, "") if selection.hospital else words("all_hospitals"),
            words.name(selection.department) if selection.department in self._listed.rows.departments else "",
            words("headline_classes") if self._listed.is_headline else "",
            *(words.name(value) for value in (selection.gender, selection.age) if value),
        ]
        return ", ".join(filter(None, parts))
