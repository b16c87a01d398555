"""The numbers agree: page, SQL views, and sums over the visits in plain Python."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from patient_flow.contracts.measures import READMISSION_DAYS
from patient_flow.dashboard.access import Viewer
from patient_flow.dashboard.board import Board
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.panels import movements
from patient_flow.dashboard.panels import stays as stays_panel
from patient_flow.dashboard.panels import waits as waits_panel
from patient_flow.dashboard.selection import Selection
from patient_flow.dashboard.snapshot import Returns, Snapshots
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import settled
from patient_flow_tests.dashboard.hospital import DEPARTMENTS, Attendance, Hospital, Stay

Make = Callable[..., Figures]
Row = TypeVar("Row", Stay, Attendance)
HOUR = timedelta(hours=1)
CHOICES: tuple[dict[str, str | int], ...] = (
    {},
    {"days": 28},
    {"hospital": "1"},
    {"department": "ICU", "days": 14},
    {"gender": "Female"},
    {"age": "65-79", "days": 28},
    {"hospital": "1", "department": "Surgery", "gender": "Male", "days": 28},
)
c = pl.col


def local_date(instant: datetime) -> date:
    return instant.astimezone(ZoneInfo(ZONE)).date()


def chosen(stays: Iterable[Row], choice: dict[str, str | int]) -> list[Row]:
    names = {"hospital": "hospital", "department": "department", "gender": "gender", "age": "age_band"}
    wanted = {names[name]: value for name, value in choice.items() if name != "days"}
    return [stay for stay in stays if all(getattr(stay, name) == value for name, value in wanted.items())]


def view(group: Hospital, name: str, choice: dict[str, str | int], figures: Figures) -> pl.DataFrame:
    """Rows of a view under the filters that it knows, of the dates of the page."""
    columns = {"hospital": "hospital_id", "department": "department", "gender": "gender"}
    conditions = [f"{columns[key]} = :{key}" for key in choice if key in columns]
    rows = group.warehouse.query(
        f'SELECT * FROM "{name}" WHERE ' + " AND ".join(["1 = 1", *conditions]),
        {key: value for key, value in choice.items() if key in columns},
    )
    dates = c("date").cast(pl.String).str.to_date()
    return rows.filter(dates.is_between(figures.first, figures.today)) if "date" in rows.columns else rows


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_the_cards_are_sums_over_the_visits(group: Hospital, figures: Make, choice: dict[str, str | int]) -> None:
    made = figures(**choice)
    stays = chosen(group.stays, choice)
    cards = {card.name: card for card in made.cards}
    for at, side in ((group.now, "value"), (made.week_ago, "before")):
        shown = {name: getattr(card, side) for name, card in cards.items()}
        assert shown["in_beds"] == sum(stay.is_in_bed(at) for stay in stays)
        assert shown["admissions_today"] == sum(
            stay.is_first and local_date(stay.began) == local_date(at) and stay.began <= at for stay in stays
        )
        waits = [stay.wait for stay in stays if stay.wait is not None and at - 24 * HOUR < stay.began <= at]
        lengths = [stay.visit_hours for stay in stays if stay.visit_hours and at - 24 * HOUR < stay.ended <= at]  # type: ignore[operator]
        assert shown["median_wait"] == (pytest.approx(statistics.median(waits)) if waits else None)
        assert shown["median_stay"] == (pytest.approx(statistics.median(lengths)) if lengths else None)


def test_patients_in_beds_are_those_of_the_view(group: Hospital, figures: Make) -> None:
    made = figures()
    current = group.warehouse.query('SELECT department, COUNT(*) AS n FROM "CurrentPatients" GROUP BY department')
    assert dict(made.overstays.select("place", "in_beds").iter_rows()) == dict(current.iter_rows())
    assert made.cards[0].value == current["n"].sum()


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if "age" not in choice], ids=str)
def test_occupancy_is_that_of_the_views(group: Hospital, figures: Make, choice: dict[str, str | int]) -> None:
    made = figures(**choice)
    place = "hospital_name" if made.splits_hospitals else "department"
    by_gender = view(group, "BedOccupancyByGender", choice, made)
    expected = by_gender.group_by(place, "gender").agg(c("occupied_bed_hours").sum(), c("staffed_bed_hours").sum())
    shown = made.occupancy.select("place", "gender", "occupied_bed_hours", "staffed_bed_hours")
    assert {row for row in expected.iter_rows() if row[2]} == {row for row in shown.iter_rows() if row[2]}
    if "gender" not in choice:
        hourly = view(group, "BedOccupancyHourly", choice, made)
        hours = hourly.group_by("time_key").agg(c("occupied_beds").sum(), c("staffed_beds").sum()).sort("time_key")
        ours = made.hours.select("occupied_bed_hours", "staffed_bed_hours").rows()
        assert ours == hours.select("occupied_beds", "staffed_beds").rows()


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_occupancy_counts_every_bed_at_every_hour(group: Hospital, figures: Make, choice: dict[str, str | int]) -> None:
    """Also under a filter by age, which the census does not know."""
    made = figures(**choice)
    stays = chosen(group.stays, choice)
    beds = made.hours.select("hour_at", "occupied_bed_hours")
    assert beds.height > 24 * (made.selection.days - 2)
    assert dict(beds.iter_rows()) == {at: sum(stay.is_in_bed(at) for stay in stays) for at in beds["hour_at"]}
    assert made.heat["occupied_bed_hours"].sum() == beds["occupied_bed_hours"].sum()


@pytest.mark.parametrize("choice", [{}, {"department": "ICU", "days": 14}, {"age": "65-79", "days": 28}], ids=str)
def test_patients_in_departments_without_known_beds_fill_no_others_beds(
    figures: Make, group: Hospital, snapshots: Snapshots, choice: dict[str, str | int]
) -> None:
    """A hospital without a list lies beside one with a list: the occupancy is that of the latter alone."""
    listed = figures(hospital="1", **choice)
    snapshot = settled(snapshots, listed.selection.days)
    beds = pl.when(c("hospital_id") == "1").then("staffed_beds").alias("staffed_beds")
    unlisted = replace(snapshot, departments=snapshot.departments.with_columns(beds))
    made = Figures(unlisted, Selection().but(**choice), Viewer(), group.now)
    ours, theirs = ({card.name: card for card in one.cards} for one in (made, listed))
    assert ours["occupancy"] == theirs["occupancy"]
    assert ours["in_beds"].value == figures(**choice).cards[0].value
    others = [stay for stay in chosen(group.stays, choice) if stay.hospital == "2" and stay.is_in_bed(group.now)]
    assert made.in_unknown_beds == len(others)
    assert (listed.in_unknown_beds, figures(**choice).in_unknown_beds) == (0, 0)
    figure = ("hour_at", "occupied_bed_hours", "staffed_bed_hours", "occupancy_pct")
    assert made.hours.select(figure).equals(listed.hours.select(figure))
    assert made.occupancy["occupied_bed_hours"].sum() == figures(**choice).occupancy["occupied_bed_hours"].sum()
    known = made.occupancy["occupied_bed_hours"].sum() - made.occupancy["unknown_bed_hours"].sum()
    assert known == listed.occupancy["occupied_bed_hours"].sum()
    shares = (one.occupancy.group_by("gender").agg(c("occupancy_pct").sum()).sort("gender") for one in (made, listed))
    assert_frame_equal(*shares)


def test_occupancy_may_exceed_100_percent_and_genders_add_up_to_the_whole(figures: Make) -> None:
    made = figures(days=28)
    for (_,), part in made.occupancy.group_by("place"):
        whole = 100 * part["occupied_bed_hours"].sum() / part["staffed_bed_hours"][0]
        assert part["occupancy_pct"].sum() == pytest.approx(whole)
    assert made.hours["occupancy_pct"].max() > 100


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if "age" not in choice], ids=str)
def test_movements_are_those_of_the_view(group: Hospital, figures: Make, choice: dict[str, str | int]) -> None:
    made = figures(**choice)
    rows = view(group, "AdmissionsDaily", choice, made).with_columns(c("date").cast(pl.String).str.to_date())
    daily = rows.group_by("date").agg(c("admissions").sum(), c("discharges").sum())
    assert {row for row in made.by_step(*movements.MEASURES).iter_rows() if row[1:] != (0, 0)} == {
        row for row in daily.iter_rows() if row[1:] != (0, 0)
    }


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_waits_and_stays_are_percentiles_of_the_visits(
    group: Hospital, figures: Make, choice: dict[str, str | int]
) -> None:
    made = figures(**choice)
    stays = chosen(group.stays, choice)
    for row in made.by_step(*waits_panel.MEASURES).iter_rows(named=True):
        waits = sorted(stay.wait for stay in stays if stay.wait is not None and local_date(stay.began) == row["step"])
        assert row["waits"] == len(waits)
        if len(waits) > 1:
            assert row["wait_minutes_p50"] == pytest.approx(statistics.median(waits))
            assert row["wait_minutes_p90"] == pytest.approx(statistics.quantiles(waits, n=10, method="inclusive")[-1])
            assert row["within_240_pct"] == pytest.approx(100 * sum(wait <= 240 for wait in waits) / len(waits))
    names = dict(DEPARTMENTS.select("hospital_id", "hospital_name").iter_rows())
    for row in stays_panel.stays(made).iter_rows(named=True):
        lengths = [
            stay.visit_hours
            for stay in stays
            if stay.visit_hours is not None
            and stay.ended is not None
            and made.first <= local_date(stay.ended)
            and row["place"] == (names[stay.hospital] if made.splits_hospitals else stay.department)
        ]
        assert row["ended_visits"] == len(lengths)
        assert row["length_of_stay_hours_median"] == pytest.approx(statistics.median(lengths))
        assert row["length_of_stay_hours_mean"] == pytest.approx(statistics.mean(lengths))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_attendances_count_on_their_arrival_and_shares_are_of_those_who_left(
    group: Hospital, figures: Make, choice: dict[str, str | int]
) -> None:
    made = figures(**choice)
    names = ("attendances", "four_hour_pct", "left_without_being_seen_pct", "minutes_in_department_p95")
    attended = chosen(group.attended, choice)
    for row in made.by_step(*names).iter_rows(named=True):
        here = [each for each in attended if local_date(each.arrived) == row["step"]]
        gone = [each for each in here if each.minutes is not None]
        assert row["attendances"] == len(here)
        unseen, soon = (
            sum(each.status == "left_without_being_seen" for each in gone),
            sum(each.minutes <= 240 for each in gone if each.minutes is not None),
        )
        if gone:
            assert row["left_without_being_seen_pct"] == pytest.approx(100 * unseen / len(gone))
            assert row["four_hour_pct"] == pytest.approx(100 * soon / len(gone))
    now = Board(made).emergency
    assert (now["in_department"].sum(), now["waiting"].sum()) == (sum(each.departed is None for each in attended), 0)


def test_attendances_are_those_of_the_views(group: Hospital, figures: Make) -> None:
    made = figures(days=14)
    counts = ("attendances", "ed_departed")
    daily = view(group, "EmergencyDaily", {}, made).with_columns(c("date").cast(pl.String).str.to_date())
    expected = daily.group_by("date").agg(c(counts).sum())
    shown = made.by_step(*counts).filter(c("attendances") > 0)
    assert set(shown.iter_rows()) == set(expected.select("date", *counts).iter_rows())
    now = group.warehouse.query('SELECT SUM(in_department) AS n FROM "EmergencyNow"')["n"].item()
    assert Board(made).emergency["in_department"].sum() == now > 0


def test_percentiles_are_those_of_the_views_where_those_have_them(group: Hospital, figures: Make) -> None:
    """A percentile holds for its row only: one hospital, department, gender and date."""
    choice: dict[str, str | int] = {"hospital": "1", "department": "Emergency", "gender": "Female", "days": 14}
    made = figures(**choice)
    waits = view(group, "WaitingTimes", choice, made).sort("date")
    shown = made.by_step(*waits_panel.MEASURES).filter(c("waits") > 0)
    assert shown["waits"].to_list() == waits["waits"].to_list()
    for ours, theirs in (
        ("wait_minutes_p50", "wait_minutes_p50"),
        ("wait_minutes_p90", "wait_minutes_p90"),
        ("within_240_pct", "within_240_pct"),
    ):
        assert shown[ours].to_list() == pytest.approx(waits[theirs].to_list())
    stays = view(group, "LengthOfStay", choice, made)
    assert stays_panel.stays(made)["ended_visits"].sum() == stays["ended_visits"].sum()
    assert stays_panel.stays(made)["length_of_stay_hours_mean"].item() == pytest.approx(
        stays["length_of_stay_hours_sum"].sum() / stays["ended_visits"].sum()
    )


@pytest.mark.parametrize("choice", [choice for choice in CHOICES if "age" not in choice], ids=str)
def test_flows_are_those_of_the_view(group: Hospital, figures: Make, choice: dict[str, str | int]) -> None:
    made = figures(**choice)
    rows = view(group, "DepartmentInflow", choice, made)
    expected = rows.group_by("from_department", "department").agg(c("patients").sum())
    assert set(made.flows.select("origin", "department", "patients").iter_rows()) == set(expected.iter_rows())


def test_overstays_are_those_of_the_view(group: Hospital, figures: Make) -> None:
    made = figures(days=14)
    rows = view(group, "Overstays", {}, made)
    open_now = Counter(rows.filter(c("is_open") == 1)["department"])
    ended = Counter(rows.filter(c("is_open") == 0)["department"])
    shown = made.overstays.select("place", "open_overstays", "ended_overstays").rows()
    assert {place: (now, gone) for place, now, gone in shown} == {
        place: (open_now[place], ended[place]) for place, _, _ in shown
    }
    assert made.longest.height == sum(open_now.values())
    assert made.longest["hours_over"].is_sorted(descending=True)


def test_readmissions_are_those_of_the_view(group: Hospital, figures: Make, returns: Returns) -> None:
    made = figures(days=7)
    first, last = made.returns_between
    assert last == made.today - timedelta(days=READMISSION_DAYS + 1)
    rows = None
    for _ in range(100):
        rows = returns.between(first, last).rows
        if rows is not None:
            break
        time.sleep(0.05)
    assert rows is not None
    shown = made.readmissions(rows)
    dates = c("date").cast(pl.String).str.to_date().is_between(first, last)
    expected = (
        group.warehouse.query('SELECT * FROM "Readmissions"')
        .filter(dates)
        .group_by("department")
        .agg(c("discharges").sum(), c("readmissions").sum())
    )
    assert set(shown.select("place", "discharges", "readmissions").iter_rows()) == set(expected.iter_rows())
    assert shown["readmissions"].sum() > 0


def test_quality_counts_are_those_of_the_table(group: Hospital, figures: Make) -> None:
    made = figures()
    assert made.quality is not None
    shown = {row[0]: row[1:] for row in made.quality.select("rule", "flagged", "quarantined").iter_rows()}
    assert shown["patient_is_missing"] == (0, 12)
    assert shown["all"] == (0, 12)


def test_a_viewer_gets_the_rows_of_their_hospitals_and_departments_only(group: Hospital, figures: Make) -> None:
    limited = figures(Viewer("someone", frozenset({"2"}), frozenset({"ICU", "Surgery"})))
    assert list(limited.hospitals) == ["2"]
    assert limited.departments == ["ICU"]
    assert limited.quality is None
    truth = [stay for stay in group.stays if (stay.hospital, stay.department) == ("2", "ICU")]
    assert limited.cards[0].value == sum(stay.is_in_bed(group.now) for stay in truth)
    assert (
        limited.hours["occupied_bed_hours"].sum()
        == figures(hospital="2", department="ICU").hours["occupied_bed_hours"].sum()
    )


def test_a_filter_does_not_widen_what_a_viewer_may_see(figures: Make) -> None:
    assert figures(Viewer("someone", frozenset({"2"})), hospital="1").is_empty
    assert figures(Viewer("someone", frozenset())).is_empty


def test_a_hospital_that_a_mistyped_event_names_or_that_left_days_ago_is_not_missed(
    group: Hospital, snapshots: Snapshots
) -> None:
    snapshot = settled(snapshots, 7)
    mistyped = snapshot.departments.with_columns(is_inferred=c("hospital_id") == "2")

    def sending(departments: pl.DataFrame, hours: int, hospital: str = "") -> Figures:
        last = {"1": group.now, "2": group.now - hours * HOUR}
        changed = replace(snapshot, departments=departments, last_sent=last)
        return Figures(changed, Selection().but(hospital=hospital), Viewer(), group.now)

    assert list(sending(snapshot.departments, 8).senders.silent) == ["2"]
    assert sending(mistyped, 8).senders.silent == {}
    assert list(sending(mistyped, 8, "2").senders.silent) == ["2"]
    assert sending(snapshot.departments, 24 * 8).senders.silent == {}
    assert not sending(snapshot.departments, 24 * 8, "2").senders.somebody_sends


def test_the_period_of_one_day_goes_by_hours(group: Hospital, figures: Make) -> None:
    made = figures(days=1)
    hour = group.now.astimezone(ZoneInfo(ZONE)).hour
    assert made.by_step(*movements.MEASURES)["step"].to_list() == list(range(hour + 1))
    today = [stay for stay in group.stays if stay.is_first and local_date(stay.began) == made.today]
    assert made.by_step(*movements.MEASURES)["admissions"].sum() == len(today)
