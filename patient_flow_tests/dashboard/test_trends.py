"""The page "Over time": any range of dates against the SQL views and the facts, its charts, errors and readers."""

from __future__ import annotations

import csv
import io
import re
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from patient_flow.contracts.chart_notes import ChartNote, ChartNotes
from patient_flow.contracts.events import GENDERS
from patient_flow.contracts.measure_types import Better, Text
from patient_flow.dashboard.server import Options
from patient_flow.dashboard.trends import figures, routes
from patient_flow.dashboard.trends.daily import DailyTable
from patient_flow.dashboard.trends.months import MAX_WAITING, Month, Months
from patient_flow.dashboard.trends.period import Period, PeriodError, period_of
from patient_flow.stores.warehouse import daily
from patient_flow.stores.warehouse.daily import Scope
from patient_flow.stores.warehouse.schema import ACCESS_LOG
from patient_flow.stores.warehouse.views import TABLES as VIEWS
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow.transforms.control_charts import control_chart
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import Hospital

DAY = timedelta(days=1)
TODAY = date(2026, 11, 29)
LOCAL = ZoneInfo(ZONE)
DAILY = (
    *("admissions", "day_cases", "transfers_in", "discharges", "early_discharges", "waits", "wait_minutes_sum"),
    *("waits_within_240", "overstays", "attendances", "ed_departed", "ed_within_240", "ed_over_720"),
    *("ed_left_without_being_seen", "ed_admitted", "ed_boarding_over_240", "is_headline_occupied_bed_hours"),
    *("is_headline_staffed_bed_hours", "has_beds_occupied_bed_hours", "has_beds_staffed_bed_hours"),
)
"""Sums that the daily table gives of each date."""


def today_of(group: Hospital) -> date:
    return group.now.astimezone(LOCAL).date()


def records(client: TestClient, path: str, **headers: str) -> list[dict[str, str]]:
    reply = client.get(path, headers=headers)
    assert reply.status_code == 200, reply.text
    return list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))


def totals(
    client: TestClient, first: date, last: date, more: str = "", headers: dict[str, str] | None = None
) -> dict[str, float]:
    rows = records(client, f"/trends.csv?of=totals&from={first}&to={last}{more}", **(headers or {}))
    return {row["measure"]: float(row["value"]) for row in rows if row["compared"] == "range" and row["value"]}


@pytest.fixture
def older(group: Hospital) -> tuple[date, date]:
    """A range that the page of the last 28 days does not reach."""
    return today_of(group) - 38 * DAY, today_of(group) - 30 * DAY


# --- any range, against the views -----------------------------------------------------------------------------------


def test_an_old_range_has_the_sums_and_ratios_of_the_views(
    group: Hospital, client: TestClient, older: tuple[date, date]
) -> None:
    first, last = older
    found = totals(client, first, last)

    def asked(view: str, *columns: str) -> tuple[float, ...]:
        table = VIEWS[view]
        sums = sa.select(*(sa.func.sum(table.c[name]).label(name) for name in columns))
        return tuple(map(float, group.warehouse.query(sums.where(table.c.date.between(first, last))).row(0)))

    admissions, transfers, discharges, early = asked(
        "AdmissionsDaily", "admissions", "transfers_in", "discharges", "early_discharges"
    )
    assert admissions > 20
    assert (found["admissions"], found["transfers_in"], found["discharges"]) == (admissions, transfers, discharges)
    assert found["early_discharge_pct"] == pytest.approx(100 * early / discharges)
    (attendances,) = asked("EmergencyDaily", "attendances")
    assert found["attendances"] == attendances
    occupied, staffed = asked("BedOccupancyByGender", "occupied_bed_hours", "staffed_bed_hours")
    assert found["occupancy_pct"] == pytest.approx(100 * occupied / (staffed / len(GENDERS)))


def test_mean_wait_of_a_range_is_that_of_its_visits(
    group: Hospital, client: TestClient, older: tuple[date, date]
) -> None:
    waits = [
        stay.wait
        for stay in group.stays
        if stay.wait is not None and older[0] <= stay.began.astimezone(LOCAL).date() <= older[1]
    ]
    assert len(waits) > 20
    assert totals(client, *older)["wait_minutes_mean"] == pytest.approx(sum(waits) / len(waits))


def test_percentiles_of_a_part_of_a_month_are_those_of_its_visits(
    group: Hospital, client: TestClient, older: tuple[date, date]
) -> None:
    rows = records(client, f"/trends.csv?of=months&from={older[0]}&to={older[1]}")
    assert rows
    for row in rows:
        first, last = date.fromisoformat(row["from"]), date.fromisoformat(row["to"])
        waits = [
            stay.wait
            for stay in group.stays
            if stay.wait is not None and first <= stay.began.astimezone(LOCAL).date() <= last
        ]
        expected = pl.Series(waits).quantile(0.9, "linear")
        assert float(row["wait_minutes_p90"]) == pytest.approx(expected)


def test_an_export_of_months_that_take_long_is_no_table_with_gaps(
    client: TestClient, older: tuple[date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Months, "of", lambda *asked: dict.fromkeys(asked[2]))
    monkeypatch.setattr(routes, "EXPORT_SECONDS", 0)
    reply = client.get(f"/trends.csv?of=months&lang=fr&from={older[0]}&to={older[1]}")
    assert reply.status_code == 503
    assert "en cours de lecture" in reply.text


def test_few_months_wait_at_a_time_the_newest_first(group: Hospital) -> None:
    months = Months(group.warehouse, LOCAL, lambda: group.now)
    asked = [Month(date(2020, number, 1), date(2020, number, 28), 0.0) for number in range(1, 13)]
    first = months.of(Scope(), asked)
    for _ in range(400):
        found = months.of(Scope(), asked)
        if all(figures is not None for figures in found.values()):
            break
        time.sleep(0.05)
    months.close(10)
    assert sum(figures is None for figures in first.values()) >= len(asked) - MAX_WAITING
    assert list(found) == asked
    assert None not in found.values()


def test_filters_and_limits_of_a_viewer_hold_for_every_range(
    client: TestClient, signed_client: TestClient, older: tuple[date, date]
) -> None:
    everything = totals(client, *older)
    parts = [totals(client, *older, more=f"&hospital={hospital}") for hospital in ("1", "2")]
    assert sum(part["admissions"] for part in parts) == everything["admissions"]
    genders = [totals(client, *older, more=f"&gender={gender}") for gender in ("Female", "Male", "Other")]
    assert sum(part["occupancy_pct"] for part in genders) == pytest.approx(everything["occupancy_pct"])
    limited = {"X-User": "ada", "X-Hospitals": "2", "X-Departments": "*"}
    assert totals(signed_client, *older, headers=limited) == parts[1]
    assert totals(signed_client, *older, more="&hospital=1", headers=limited) == {}


def test_hospitals_stand_side_by_side_and_departments_of_one(client: TestClient, older: tuple[date, date]) -> None:
    span = f"from={older[0]}&to={older[1]}"
    hospitals = records(client, f"/trends.csv?of=places&{span}")
    assert [row["hospital_id"] for row in hospitals] == ["1", "2"]
    departments = records(client, f"/trends.csv?of=places&hospital=1&{span}")
    assert {row["department"] for row in departments} == {"Emergency", "ICU", "Surgery"}
    assert sum(float(row["admissions"]) for row in departments) == float(hospitals[0]["admissions"])


def test_a_range_is_compared_with_two_named_earlier_ones(client: TestClient, group: Hospital) -> None:
    last = today_of(group) - DAY
    rows = records(client, f"/trends.csv?of=totals&from={last - 6 * DAY}&to={last}")
    ranges = {row["compared"]: (row["from"], row["to"]) for row in rows}
    assert ranges["range_before"] == (str(last - 13 * DAY), str(last - 7 * DAY))
    assert ranges["364_days_earlier"] == (str(last - 370 * DAY), str(last - 364 * DAY))
    earlier = {row["measure"]: row["value"] for row in rows if row["compared"] == "range_before"}
    assert float(earlier["admissions"]) == totals(client, last - 13 * DAY, last - 7 * DAY)["admissions"]
    assert {row["value"] for row in rows if row["compared"] == "364_days_earlier"} == {""}


# --- dates that make no range ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "english", "french"),
    [
        ("from=2026-05-02&to=2026-05-01", "begins on 2026-05-02 and ends on 2026-05-01", "Échangez"),
        ("from=2026-02-30", "“2026-02-30” is no date", "n’est pas une date"),
        ("to=2999-01-01", "after today", "après ce jour"),
        ("from=1990-01-01&to=2026-01-01", "longer than 15 years", "dépasse 15 ans"),
    ],
)
def test_a_range_that_cannot_be_is_refused_in_the_readers_language(
    client: TestClient, query: str, english: str, french: str
) -> None:
    for path, language, expected in (
        (f"/trends?{query}", "en", english),
        (f"/trends?lang=fr&{query}", "en", french),
        (f"/trends.csv?{query}", "fr", french),
    ):
        reply = client.get(path, headers={"Accept-Language": language})
        assert reply.status_code == 400
        assert expected in reply.text


def test_a_range_without_an_end_is_that_of_the_last_closed_days() -> None:
    assert period_of({}, TODAY) == Period(TODAY - 90 * DAY, TODAY - DAY, "day")
    assert period_of({"from": "2026-11-01"}, TODAY) == Period(date(2026, 11, 1), TODAY - DAY, "day")
    assert period_of({"from": "2025-11-01"}, TODAY).step == "week"
    assert period_of({"from": "2020-11-01"}, TODAY).step == "month"
    assert period_of({"from": "2020-11-01", "by": "week"}, TODAY).step == "week"
    with pytest.raises(PeriodError, match="Swap the two dates"):
        period_of({"from": "2026-11-29"}, TODAY)


# --- control charts -------------------------------------------------------------------------------------------------


def test_the_charts_csv_has_the_limits_of_the_values_that_it_lists(client: TestClient, group: Hospital) -> None:
    today = today_of(group)
    rows = records(client, f"/trends.csv?from={today - 35 * DAY}&to={today}")
    admissions = [row for row in rows if row["measure"] == "admissions"]
    assert [row["from"] for row in admissions] == [str(today - number * DAY) for number in range(35, 0, -1)]
    points = pl.DataFrame(
        {
            "step": [date.fromisoformat(row["from"]) for row in admissions],
            "value": [float(row["value"]) for row in admissions],
        }
    )
    expected = control_chart(points, Better.NEITHER)
    for row, point in zip(admissions, expected.iter_rows(named=True), strict=True):
        numbers = [float(row[name]) for name in ("mean", "lower_limit", "upper_limit")]
        assert numbers == pytest.approx([point["mean"], point["lower_limit"], point["upper_limit"]])
        assert row["special_cause"] == (point["special_cause"] or "")
        assert row["variation"] == point["variation"]


def test_a_chart_has_only_whole_steps_that_have_ended() -> None:
    rows = pl.DataFrame({"date": pl.date_range(date(2026, 9, 1), TODAY, eager=True)})
    rows = rows.with_columns(pl.lit(1.0).alias(name) for name in DAILY)
    weeks = figures.by_step(rows, Period(date(2026, 11, 1), TODAY, "week"), TODAY, date(2026, 9, 1))
    assert weeks["step"].to_list() == [date(2026, 11, 2), date(2026, 11, 9), date(2026, 11, 16)]
    assert weeks["admissions"].to_list() == [7, 7, 7]
    months = figures.by_step(rows, Period(date(2026, 9, 1), TODAY, "month"), TODAY, date(2026, 9, 1))
    assert months["step"].to_list() == [date(2026, 9, 1), date(2026, 10, 1)]


def test_charts_begin_after_the_first_day_on_which_somebody_left() -> None:
    # A sender's first events, of 10 November, also state who is in bed already: since October, and only one has left.
    dates = pl.date_range(date(2026, 10, 20), TODAY, eager=True)
    rows = pl.DataFrame({"date": dates}).with_columns(pl.lit(1.0).alias(name) for name in DAILY)
    leaving = pl.when(pl.col("date") >= date(2026, 11, 10)).then(10.0).otherwise(0.0)
    stray = pl.when(pl.col("date") == date(2026, 11, 1)).then(1.0).otherwise(leaving)
    rows = rows.with_columns(discharges=stray, ed_departed=pl.col("ed_admitted"))
    assert figures.first_date(rows, date(2026, 9, 1)) == date(2026, 11, 11)
    assert figures.first_date(rows, dates[0]) == dates[0], "what was there before is not asked for"
    whole = rows.with_columns(discharges=pl.lit(1.0))
    assert figures.first_date(whole, date(2026, 9, 1)) == dates[0]
    nobody_leaves = rows.with_columns(discharges=pl.lit(0.0))
    assert figures.first_date(nobody_leaves, date(2026, 9, 1)) == dates[0]


def test_a_day_without_rows_counts_as_zero_after_the_first_day_with_some() -> None:
    rows = pl.DataFrame({"date": [date(2026, 11, 3), date(2026, 11, 5)]})
    rows = rows.with_columns(pl.lit(4.0).alias(name) for name in DAILY)
    days = figures.by_step(rows, Period(date(2026, 11, 1), date(2026, 11, 6), "day"), TODAY, date(2026, 11, 3))
    assert days.select("step", "admissions").rows() == [
        (date(2026, 11, 3), 4),
        (date(2026, 11, 4), 0),
        (date(2026, 11, 5), 4),
        (date(2026, 11, 6), 0),
    ]
    assert days["four_hour_pct"].to_list() == [100, None, 100, None]


@pytest.fixture
def noted(group: Hospital) -> Iterator[TestClient]:
    """The dashboard with a note twenty days ago and a target."""
    note = ChartNote(today_of(group) - 20 * DAY, Text("a new ward", "une nouvelle unité"), hospital="1")
    notes = ChartNotes((note,), {"early_discharge_pct": 99.9})
    with client_of(group.warehouse, lambda: group.now, Options(chart_notes=notes)) as made:
        yield made


def test_a_note_begins_new_limits_in_the_charts_that_it_concerns(noted: TestClient, group: Hospital) -> None:
    span = f"from={today_of(group) - 40 * DAY}&to={today_of(group) - DAY}"
    phases = {}
    for hospital in ("1", "2"):
        rows = records(noted, f"/trends.csv?hospital={hospital}&{span}")
        phases[hospital] = {row["phase"] for row in rows if row["measure"] == "admissions"}
        begun = [row["from"] for row in rows if row["note"] == "a new ward" and row["measure"] == "admissions"]
        assert begun == ([str(today_of(group) - 20 * DAY)] if hospital == "1" else [])
    assert phases == {"1": {"0", "1"}, "2": {"0"}}
    page = noted.get(f"/trends?lang=fr&hospital=1&{span}").text
    assert "une nouvelle unité" in page
    assert "L’objectif de 99,9" in page


def test_a_change_of_the_rules_of_figures_is_a_note_by_itself() -> None:
    notes = ChartNotes().with_change(date(2026, 5, 1))
    assert [note.date for note in notes.of("admissions", "1")] == [date(2026, 5, 1)]
    assert ChartNotes().with_change(None) == ChartNotes()


def test_a_special_cause_is_drawn_in_a_shape_of_its_own_and_put_in_words(client: TestClient, group: Hospital) -> None:
    span = f"from={today_of(group) - 40 * DAY}&to={today_of(group) - DAY}"
    page = client.get(f"/trends?{span}").text
    kinds = {row["variation"] for row in records(client, f"/trends.csv?{span}")}
    for kind in kinds:
        assert f'class="point {kind}"' in page
    assert len(re.findall(r"\d+ of \d+ points? (?:is a special cause|are special causes)\.", page)) >= 10


# --- the rest of the page -------------------------------------------------------------------------------------------


def test_the_page_leads_to_its_tables_and_back_and_says_that_ages_are_not_there(client: TestClient) -> None:
    assert 'href="trends?hospital=1"' in client.get("/?hospital=1").text
    page = client.get("/trends?lang=en&age=18-39&hospital=1").text
    assert "Age groups are known for the last 28 days only" in page
    assert 'href="trends.csv?hospital=1&amp;from=' in page
    assert 'href="./?lang=en"' in page


def test_a_page_of_a_range_leaves_a_line_with_its_dates(client: TestClient, group: Hospital) -> None:
    last = today_of(group) - DAY
    request_id = client.get(f"/trends?from={last}&to={last}&hospital=x").headers["X-Request-ID"]
    lines = group.warehouse.query(ACCESS_LOG.select().where(ACCESS_LOG.c.request_id == request_id))
    assert lines["what"].item() == f"trends from={last} to={last} hospital=?"


def test_sums_are_read_once_per_load_and_older_ones_stand_in_while_newer_are_read(
    group: Hospital, older: tuple[date, date], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, reads, may_read = DailyTable(group.warehouse), [], threading.Event()
    query = type(group.warehouse).query

    def counted(warehouse: Warehouse, *asked: object) -> pl.DataFrame:
        reads.append(1)
        assert may_read.wait(30)
        return query(warehouse, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(type(group.warehouse), "query", counted)
    assert table.by_date(1, Scope(), *older, 0.01) is None
    may_read.set()
    first = table.by_date(1, Scope(), *older)
    assert table.by_date(1, Scope(), *older) is first
    may_read.clear()
    assert table.by_date(2, Scope(), *older, 0.01) is first
    may_read.set()
    second = table.by_date(2, Scope(), *older)
    assert first is not None
    assert second is not None
    assert second.equals(first)
    assert len(reads) == 2
    table.close(10)


def test_a_page_whose_sums_take_long_says_so_at_once_and_shows_them_later(
    group: Hospital, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read, by_date = threading.Event(), daily.by_date

    def waiting(warehouse: Warehouse, scope: Scope, first: date, last: date) -> pl.DataFrame:
        assert may_read.wait(30)
        return by_date(warehouse, scope, first, last)

    monkeypatch.setattr(daily, "by_date", waiting)
    monkeypatch.setattr(routes, "PAGE_SECONDS", 0.0)
    path = f"/trends?lang=en&from={today_of(group) - 17 * DAY}&gender=Male"
    assert "being read for the first time" in client.get(path).text
    may_read.set()
    for _ in range(200):
        page = client.get(path).text
        if 'data-pending="0"' in page:
            break
        time.sleep(0.05)
    assert 'id="places"' in page
    assert "Still being read" not in page


def test_a_department_outside_the_viewers_limits_is_no_choice(signed_client: TestClient) -> None:
    page = signed_client.get("/trends", headers={"X-User": "ada", "X-Hospitals": "2", "X-Departments": "ICU"}).text
    assert "La Rivière" in page
    assert 'value="Surgery"' not in page
