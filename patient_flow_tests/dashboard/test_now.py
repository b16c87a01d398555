"""A bed meeting at 08:00 in two hospitals: each number on the page against SQL, and the patients behind it."""

from __future__ import annotations

import csv
import html
import io
import re
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from starlette.testclient import TestClient

from patient_flow.contracts.access_log import Kind
from patient_flow.contracts.fullness import LEVELS, Limits
from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.dashboard import pages
from patient_flow.dashboard.access import SignIn
from patient_flow.dashboard.board import Board
from patient_flow.dashboard.figures import Figures
from patient_flow.dashboard.panels import alerts
from patient_flow.dashboard.server import Options
from patient_flow.dashboard.usual import UsualDays
from patient_flow.monitoring import catalogue, thresholds
from patient_flow.monitoring.rules.occupancy import full_departments
from patient_flow.orchestration.probes import department_hours
from patient_flow.pipeline.load import load_warehouse
from patient_flow.settings import LOCAL_ACCESS_LOG_KEY, load
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.warehouse.access_log import AccessLog
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import ZONE, Body, Delivery, department, department_list, event, run_micro_batches
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.test_pages import settled
from patient_flow_tests.stacks import Stack

NOW = datetime.now(UTC).replace(hour=12, minute=30, second=0, microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEKS = 4
OF_2: dict[str, Any] = {"hospital_id": "2", "hospital_name": "La Rivière"}
OF_3: dict[str, Any] = {"hospital_id": "3", "hospital_name": "Bel-Air"}
LISTED = department_list(
    department(department="Emergency", staffed_beds=6, **{"class": "emergency"}),
    department(department="ICU", staffed_beds=2, beds=4, **{"class": "critical_care"}),
    department(department="Surgery", staffed_beds=8, beds=10, women_beds=4, men_beds=4, **{"class": "inpatient"}),
    department(department="Surgery", staffed_beds=4, **{"class": "inpatient"}, **OF_2),
    department(department="Medicine", staffed_beds=1, **{"class": "inpatient"}, **OF_2),
    department(department="Nursery", staffed_beds=3, **{"class": "newborn"}, **OF_3),
)
SIGN_IN = SignIn("X-User", "X-Hospitals", "", ("testclient",), "X-Full")
IN_BED = "f.admission_at <= :now AND (f.discharge_at IS NULL OR f.discharge_at > :now)"


def _stay(number: int, began: timedelta, ward: str, hospital: int = 1, **said: Any) -> list[Body]:
    """A patient who came ``began`` ago; with ``left`` they left so long ago."""
    left = said.pop("left", None)
    who = {"visit_id": f"v{number}", "patient_id": f"p{number}", "hospital_id": hospital, "department": ward}
    who["gender"] = said.pop("gender", ("Female", "Male")[number % 2])
    bodies = [event(**who, event_time=NOW - began, **said)]
    if left is not None:
        bodies.append(event(**{**who, "department": None}, event_time=NOW - left, event_type="discharge"))
    return bodies


def _attendance(
    number: int, at: datetime, decided: timedelta | None = None, left: datetime | None = None
) -> list[Body]:
    who = {"visit_id": f"e{number}", "patient_id": f"e{number}", "hospital_id": 1, "department": "Emergency"}
    bodies = [event(**who, event_type="arrival", event_time=at)]
    if decided is not None:
        bodies.append(event(**who, event_type="update", event_time=NOW - decided, decision_time=NOW - decided))
    if left is not None:
        end = {**who, "department": None, "discharge_status": "home"}
        bodies.append(event(**end, event_type="discharge", event_time=left))
    return bodies


def _weeks_ago(weeks: int) -> datetime:
    """The same time on the clock."""
    return (NOW.astimezone(ZoneInfo(ZONE)) - 7 * weeks * DAY).astimezone(UTC)


def _bodies() -> Iterator[Body]:
    # Surgery: three delayed, two expected, one of them both; five others. ICU: over-full since two days and an hour.
    plans: list[dict[str, Any]] = [
        {"planned_discharge_time": NOW - 5 * HOUR},
        {"ready_time": NOW - 2 * HOUR},
        {},
        {},
        {},
        {},
    ]
    plans += [{"planned_discharge_time": NOW + 3 * HOUR}]
    for number, plan in enumerate(plans):
        yield from _stay(number, (number + 1) * DAY + HOUR, "Surgery", **plan)
    for number, back in ((20, 3 * DAY), (21, 2 * DAY + HOUR), (22, DAY)):
        yield from _stay(number, back, "ICU")
    yield from _stay(25, timedelta(minutes=10), "Medicine", hospital=2)  # full since the last full hour
    yield from _stay(30, 9 * DAY, "Surgery", hospital=2)
    yield from _stay(31, 10 * DAY, "Surgery", hospital=2, left=2 * DAY)
    yield from _stay(32, 40 * DAY, "Surgery", hospital=2, left=39 * DAY)
    # A feed of two days, whose first events also state who had been there for long.
    yield from _stay(40, 10 * DAY, "Nursery", hospital=3)
    yield from _stay(41, 9 * DAY, "Nursery", hospital=3, left=2 * DAY)
    # The same weekday of four weeks: more arrivals in each, and admissions later in the day.
    for week in range(1, WEEKS + 1):
        for patient in range(week):
            at = _weeks_ago(week) - 2 * HOUR
            yield from _attendance(100 * week + patient, at, left=at + HOUR)
            admitted = NOW - _weeks_ago(week) - timedelta(hours=3, minutes=patient)
            yield from _stay(1000 + 100 * week + patient, admitted, "Surgery", left=admitted - 2 * HOUR)
    yield from _stay(90, 30 * DAY, "Surgery", left=29 * DAY)  # the history begins before these weeks
    yield from _stay(91, 55 * DAY, "Surgery", left=DAY)  # in bed before its sender's first day: no usual day before it
    yield from _attendance(1, NOW - 6 * HOUR, decided=5 * HOUR)
    yield from _attendance(2, NOW - 2 * HOUR, decided=HOUR)
    yield from _attendance(3, NOW - HOUR)


@pytest.fixture(scope="module")
def meeting(stack: Stack) -> Iterator[Warehouse]:
    """The warehouse of the meeting, filled by the real pipeline."""
    lake = Lake(stack.lake_uri())
    sent = [Delivery(body, NOW - timedelta(minutes=1), "0", number) for number, body in enumerate(_bodies())]
    run_micro_batches(lake, [sent], LISTED)
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    load_warehouse(lake, warehouse, WAREHOUSE_TABLES, now=NOW, run_id="test")
    yield warehouse
    warehouse.dispose()


def sql(warehouse: Warehouse, query: str, **values: object) -> list[tuple[Any, ...]]:
    bound = {"now": NOW.replace(tzinfo=None), **values}
    if warehouse.address.startswith("sqlite"):  # its driver's own conversion is deprecated from Python 3.12 on
        bound = {name: str(value) if isinstance(value, datetime) else value for name, value in bound.items()}
    return warehouse.query(query, bound).rows()


def count(warehouse: Warehouse, query: str, **values: object) -> Any:
    return sql(warehouse, query, **values)[0][0]


def face(page: str, panel: str) -> list[dict[str, str]]:
    """Rows of a panel's table as they are read, by heading."""
    table = page[page.index(f'id="{panel}"') :]
    table = table[: table.index("</table>")]
    cells = [
        [
            html.unescape(re.sub(r"<[^>]+>|\s+", " ", cell)).strip()
            for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", row, re.S)
        ]
        for row in re.findall(r"<tr.*?</tr>", table, re.S)
    ]
    cells = [[cell.rpartition(">")[2].strip() for cell in row] for row in cells]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def records(client: TestClient, path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(client.get(path).text.removeprefix("\ufeff"))))


@pytest.mark.embedded_only("the queries are those of test_figures and test_snapshot, which run on both")
def test_the_questions_of_a_bed_meeting_have_the_answers_of_sql(meeting: Warehouse) -> None:
    with client_of(meeting, lambda: NOW) as client:
        page = settled(client, "/figures?lang=en").replace("\N{NO-BREAK SPACE}", " ")
        french = settled(client, "/figures?lang=fr")
        board = {(row["hospital_id"], row["department"]): row for row in records(client, "/export.csv?panel=board")}
        arrivals = records(client, "/export.csv?panel=arrivals")
        compared = {row["hospital_id"]: row for row in records(client, "/export.csv?panel=hospitals")}
        shown = face(page, "board")
        emergency = face(page, "emergency_now")[0]
    in_ward = (
        f'SELECT COUNT(*) FROM "FactPatientFlow" f JOIN "DimDepartment" d ON d.department_key = f.department_key '
        f"WHERE {IN_BED} AND d.hospital_id = :hospital AND d.department = :department"
    )
    staffed = 'SELECT MAX(staffed_beds) FROM "DimDepartment" WHERE hospital_id = :hospital AND department = :department'
    # 1. free beds by ward, 2. by gender where the list states them, 3. closed beds
    for (hospital, ward), row in board.items():
        where = {"hospital": hospital, "department": ward}
        beds, occupied = count(meeting, staffed, **where), count(meeting, in_ward, **where)
        assert (row["free_beds"], row["occupied_beds"]) == (str(beds - occupied), str(occupied)), where
        women = count(meeting, in_ward + " AND f.gender = 'Female'", **where)
        assert row["free_women_beds"] == (str(4 - women) if (hospital, ward) == ("1", "Surgery") else "")
    assert {place: row["closed_beds"] for place, row in board.items() if row["closed_beds"]} == {
        ("1", "ICU"): "2",
        ("1", "Surgery"): "2",
    }
    # 4. discharges expected today, 5. delayed with their hours
    surgery = board["1", "Surgery"]
    midnight = NOW.astimezone(ZoneInfo(ZONE)).replace(hour=0, minute=0)
    today = {"since": midnight.astimezone(UTC).replace(tzinfo=None)}
    today["until"] = (midnight + DAY).astimezone(UTC).replace(tzinfo=None)
    leaving = f'SELECT COUNT(*) FROM "FactPatientFlow" f WHERE {IN_BED} AND planned_discharge_at >= :since'
    assert surgery["expected_discharges"] == str(
        count(meeting, leaving + " AND planned_discharge_at < :until", **today)
    )
    due = "COALESCE(ready_at, planned_discharge_at)"
    late = sql(meeting, f'SELECT {due} AS due FROM "FactPatientFlow" f WHERE {IN_BED} AND {due} <= :now')
    hours = [
        (NOW.replace(tzinfo=None) - datetime.fromisoformat(str(row[0])).replace(tzinfo=None)) / HOUR for row in late
    ]
    assert (surgery["delayed"], float(surgery["delay_hours"])) == (str(len(late)), sum(hours)) == ("2", 7.0)
    # 6. beds at midnight, from plans: admissions of the same weekday between this time and midnight
    started = 'SELECT COUNT(*) FROM "FactPatientFlow" f WHERE is_visit_start AND admission_at BETWEEN :since AND :until'
    spans = [
        (at.replace(tzinfo=None), (at + 5 * HOUR).replace(tzinfo=None)) for at in map(_weeks_ago, range(1, WEEKS + 1))
    ]
    later = [count(meeting, started, since=since, until=until) for since, until in spans]
    assert later == [1, 2, 3, 4]
    assert float(surgery["expected_admissions"]) == statistics.fmean(later)
    assert float(surgery["expected_tonight"]) == 7 - 2 + statistics.fmean(later)
    assert (surgery["tonight_source"], surgery["admissions_source"]) == ("plans", "mean of the same weekday")
    # 7. in the emergency department and waiting for a bed, with the longest wait
    there = 'SELECT COUNT(*) FROM "FactEdAttendance" WHERE departure_at IS NULL AND arrival_at <= :now'
    assert emergency["In the department"] == str(count(meeting, there)) == "3"
    assert emergency["Waiting for a bed"] == str(count(meeting, there + " AND decision_at <= :now")) == "2"
    assert (emergency["Longest wait"], emergency["Boarding over 4 h"]) == ("5 h 00", "1")
    # 8. arrivals by hour against the typical band
    hour = NOW.astimezone(ZoneInfo(ZONE)).hour
    assert [row["arrivals"] for row in arrivals if row["arrivals"] not in ("0", "")] == ["1", "1", "1"]
    usual = arrivals[hour - 2]
    assert (float(usual["p10"]), float(usual["p50"]), float(usual["p90"])) == pytest.approx((1.3, 2.5, 3.7))
    # 9. which ward is over its threshold, since when: full with its second patient, two days and an hour ago
    full = sql(
        meeting,
        'SELECT time_key FROM "FactBedCensus" c JOIN "DimDepartment" d ON d.department_key = c.department_key '
        "WHERE d.department = 'ICU' GROUP BY time_key HAVING SUM(occupied_beds) >= 2 ORDER BY time_key",
    )
    since = datetime.strptime(f"{full[0][0]}+0000", "%Y%m%d%H%z")
    assert {place: row["over_since"] for place, row in board.items() if row["over_since"]} == {
        ("1", "ICU"): since.isoformat(),
        ("1", "Surgery"): board["1", "Surgery"]["over_since"],
    }
    # 10. hospitals side by side, 11. against last week: not where the feed had not begun
    assert compared.pop("3")["occupied_beds_before"] == ""
    for hospital, row in compared.items():
        at = in_ward.replace(" AND d.department = :department", "")
        before = at.replace(":now", ":before")
        values = {"hospital": hospital, "before": (NOW - 7 * DAY).replace(tzinfo=None)}
        assert (row["occupied_beds"], row["occupied_beds_before"]) == (
            str(count(meeting, at, **values)),
            str(count(meeting, before, **values)),
        )
    # 13. how fresh it is; and what the page reads is what the CSV holds
    assert "newest event 60 s old" in page
    assert [row["Department"].split(" ")[-1] for row in shown if row["Free"] == "−1"] == ["ICU"]
    assert [row["Admissions until midnight"] for row in shown if row["Department"].endswith("Emergency")] == ["–"]
    headline = [row for row in board.values() if row["class"] != "emergency"]
    for heading, name in (("Free", "free_beds"), ("Discharges expected today", "expected_discharges")):
        assert shown[0][heading] == str(sum(int(row[name]) for row in headline)), heading
    assert (shown[0]["Department"], shown[0]["Hours of delay"]) == ("All hospitals", "7.0")
    assert "Lits · maintenant" in french
    assert page.index('id="board"') < page.index('id="emergency_now"')


@pytest.mark.embedded_only("rows of a page are made by the same code on both")
def test_nothing_is_compared_with_the_week_before_a_feed(meeting: Warehouse) -> None:
    with client_of(meeting, lambda: NOW) as client:
        settled(client)
        all_cards, of_1, of_3 = (
            [row["a_week_ago"] for row in records(client, f"/export.csv?panel=key_figures{chosen}")]
            for chosen in ("", "&hospital=1", "&hospital=3")
        )
        page = client.get("/?lang=en").text
        beds = face(page, "hospitals")
    assert (all_cards, of_3) == ([""] * 5, [""] * 5)
    assert all(of_1[:3])
    assert "no figure a week ago" in page
    assert {row["Hospital"]: row["In beds now"] for row in beds} == {
        "Saint-Aubin": "10 (2)",
        "La Rivière": "2 (2)",
        "Bel-Air": "1 (–)",
    }


@pytest.mark.embedded_only("it is about the page")
def test_a_page_says_that_usual_days_are_being_read_and_asks_again(
    meeting: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UsualDays, "of", lambda *_: None)
    monkeypatch.setattr(UsualDays, "is_pending", lambda *_: True)
    with client_of(meeting, lambda: NOW) as client:
        reply = client.get("/figures?lang=en")
    assert "Expected until midnight: the mean of this weekday is being read, and appears by itself" in reply.text
    assert "3 since midnight. The usual band is being read and appears by itself." in reply.text
    assert reply.headers["X-Refresh-Seconds"] == "2"


@pytest.mark.embedded_only("it is about the page")
def test_the_board_names_no_mean_where_no_week_is_known(meeting: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patient_flow.dashboard.board.usual_dates", lambda _: [])
    with client_of(meeting, lambda: NOW) as client:
        english, french = (settled(client, f"/figures?lang={language}") for language in ("en", "fr"))
    assert "Expected until midnight: not known yet. Numbers of patients" in english
    assert "pas encore connu. Les nombres" in french
    assert "mean of this weekday" not in english


@pytest.mark.embedded_only("rows of a page are made by the same code on both")
def test_every_number_of_the_board_leads_to_as_many_patients(meeting: Warehouse) -> None:
    """12. the list of patients behind each number."""
    with client_of(meeting, lambda: NOW) as client:
        page = settled(client, "/figures?lang=en")
        links = re.findall(r'<a href="(patients\?[^"]+)">(\d+)', page)
        assert len(links) > 20
        assert {re.search(r"of=(\w+)", href)[1] for href, _ in links} == {  # type: ignore[index]
            *("in_beds", "expected", "delayed", "in_department", "waiting", "boarding")
        }
        for href, number in links:
            address = "/" + html.unescape(href)
            assert len(records(client, address.replace("patients", "patients.csv"))) == int(number), href
        listed = client.get("/" + html.unescape(links[0][0])).text
        late = records(client, "/patients.csv?of=delayed")
        waiting = records(client, "/patients.csv?of=waiting")
    assert "<script" not in listed
    assert " style=" not in listed
    assert [float(row["delay_hours"]) for row in late] == [5.0, 2.0]
    assert {(row["hospital"], row["department"], row["period"]) for row in late} == {("Saint-Aubin", "Surgery", "now")}
    assert [float(row["wait_hours"]) for row in waiting] == [5.0, 1.0]
    names = {row[0] for row in sql(meeting, 'SELECT visit_id FROM "FactPatientFlow"')}
    assert {row["visit_id"] for row in late} <= names
    assert not names & {"v0", "v1"}  # pseudonyms


@pytest.mark.embedded_only("it is about the answers, whatever database the figures come from")
def test_a_list_of_patients_keeps_to_the_viewers_hospitals_and_leaves_its_line(meeting: Warehouse) -> None:
    options = Options(SIGN_IN, access_log_key=LOCAL_ACCESS_LOG_KEY)
    viewer = {"X-User": "a. martin", "X-Hospitals": "2", "X-Full": "full"}
    with client_of(meeting, lambda: NOW, options) as client:
        settled(client, **viewer)
        page = client.get("/patients?of=in_beds&hospital=1", headers=viewer)
        assert (page.status_code, "Saint-Aubin" in page.text) == (200, False)
        mine = client.get("/patients.csv?of=in_beds", headers=viewer)
        aggregates = client.get("/patients?of=in_beds", headers={**viewer, "X-Full": ""})
        typed = client.get("/?search=Jeanne+Martin", headers=viewer)
    assert mine.text.count("La Rivière") == 2
    assert {reply.headers["Cache-Control"] for reply in (page, mine)} == {"no-store"}
    assert aggregates.status_code == 403
    log = AccessLog(meeting)
    lines = {entry.request_id: entry for entry in log.views(datetime.min.replace(tzinfo=UTC))}
    first, second, third = (lines[reply.headers["X-Request-ID"]] for reply in (page, mine, typed))
    assert (first.kind, first.what) == (Kind.PATIENTS, "patients of=in_beds hospital=1")
    assert (second.kind, second.what) == (Kind.PATIENTS, "export-patients of=in_beds")
    assert third.what == "page search=?"
    assert log.review(LOCAL_ACCESS_LOG_KEY, NOW).findings == []


@pytest.mark.embedded_only("it is about the page")
def test_the_board_is_searched_by_name_and_unmoved_by_gender_and_age(meeting: Warehouse) -> None:
    with client_of(meeting, lambda: NOW) as client:
        page = settled(client, "/figures?lang=fr&search=CHIRURG&gender=Female&age=0-4")
        everything = settled(client, "/figures?lang=fr&hospital=1")
        second = settled(client, "/figures?lang=fr&hospital=2")
        levels = client.get("/levels.css")
    rows = face(page, "board")
    assert [row["Service"].split(" ")[-1] for row in rows] == ["Saint-Aubin", "Chirurgie", "Rivière", "Chirurgie"]
    assert [row["Occupés"] for row in rows][1::2] == ["7", "1"]
    assert "ne s’appliquent pas ici" in page
    assert len(face(everything, "board")) == 4
    since = {row["Service"].split(" ")[-1]: row["À 85 % depuis"] for row in face(second, "board")}
    assert since == {"Rivière": "", "Medicine": "moins d’une heure", "Chirurgie": ""}
    assert levels.headers["Content-Type"].startswith("text/css")
    assert all(f".level-{level.name} " in levels.text for level in LEVELS)


@pytest.mark.embedded_only("the view has its own tests on both")
def test_the_page_lists_the_alerts_of_the_sensor_and_only_those_of_the_viewers_departments(
    meeting: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(SignIn("X-User", "X-Hospitals", "X-Departments", ("testclient",)))
    viewer = {"X-User": "a. martin", "X-Hospitals": "*", "X-Departments": "*"}
    monkeypatch.setattr(alerts, "MAX_OPEN", 2)
    with client_of(meeting, lambda: NOW, options) as client:
        settled(client, **viewer)
        everything = client.get("/export.csv?panel=alerts&lang=en", headers=viewer).text
        page = client.get("/?lang=en", headers=viewer).text
        french = client.get("/?lang=fr", headers=viewer).text
        board = client.get("/export.csv?panel=board", headers=viewer).text
        of_icu = client.get("/export.csv?panel=alerts", headers={**viewer, "X-Departments": "ICU"}).text
        of_another = client.get("/?lang=en", headers={**viewer, "X-Hospitals": "2"}).text
    rows = {(row["hospital"], row["department"]): row for row in csv.DictReader(io.StringIO(everything[1:]))}
    assert list(rows) == [("Saint-Aubin", "ICU"), ("Saint-Aubin", ""), ("Saint-Aubin", "Surgery")]
    since = {
        row["department"]: row["over_since"]
        for row in csv.DictReader(io.StringIO(board[1:]))
        if row["hospital"] == "Saint-Aubin"
    }
    services: Any = SimpleNamespace(warehouse=meeting, settings=load(environ={}))
    sent = full_departments(department_hours(services, NOW - 4 * DAY), Limits(), ZoneInfo(ZONE))
    assert [alert.department for alert in sent] == ["ICU", "Surgery"]
    for alert in sent:
        row = rows["Saint-Aubin", alert.department]
        assert (row["alert"], row["action"]) == (alert.what.en, catalogue.OCCUPANCY_HIGH.action)
        assert row["since"] == since[alert.department] == (alert.since or NOW).isoformat()
    delayed = rows["Saint-Aubin", ""]
    assert delayed["alert"] == "2 of 10 patients in beds (20 %) could have left, 7 hours of delay in all"
    assert (delayed["severity"], delayed["since"]) == ("critical", (NOW - 2 * HOUR).isoformat())
    assert page.count('<li><span class="severity') == 3
    assert '<details id="alerts-more"><summary>1 more</summary>' in page
    assert "Alertes lits · maintenant" in french
    assert "plein à 150 %" in french
    assert [row["department"] for row in csv.DictReader(io.StringIO(of_icu[1:]))] == ["ICU"]
    assert "No alert is open." in of_another


def test_bed_alerts_and_colours_share_their_limits() -> None:
    limits = Limits()
    assert (limits.high, limits.critical) == (thresholds.OCCUPANCY_PCT, thresholds.OCCUPANCY_CRITICAL_PCT)
    names = [level.name if (level := limits.level(share)) else None for share in (None, 84.9, 85, 95, 100, 130)]
    assert names == [None, "ample", "high", "critical", "full", "full"]
    assert [level.name for level in limits.levels] == ["ample", "high", "critical", "full"]
    assert [level.name for level in Limits(high=98, critical=100).levels] == ["ample", "high", "full"]


@pytest.mark.embedded_only("rows of a page are made by the same code on both")
def test_a_forecast_takes_the_place_of_plans_and_is_marked(figures: Callable[..., Figures], client: TestClient) -> None:
    made = figures()
    tonight = {(row["hospital_id"], row["department"]): row for row in made.ahead.tonight.iter_rows(named=True)}
    settled(client)
    board = records(client, "/export.csv?panel=board")
    assert len(board) == len(tonight) - 2  # without the two totals of hospitals
    for row in board:
        forecast = tonight[row["hospital_id"], row["department"]]
        assert (row["tonight_source"], row["admissions_source"]) == ("forecast", "forecast")
        assert float(row["expected_tonight"]) == pytest.approx(forecast["expected_beds"])
        assert float(row["expected_admissions"]) == pytest.approx(forecast["expected_admissions"])
    shown = face(client.get("/?lang=en").text, "board")
    assert all(row["Expected at midnight"].endswith("◆") for row in shown)


@pytest.mark.embedded_only("rows of a page are made by the same code on both")
def test_a_baseline_in_place_of_a_bad_forecast_is_named_and_knows_nothing_of_admissions(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    forecast = pages._tonight
    baseline = {"source": pl.lit("persistence"), "expected_admissions": pl.lit(None, pl.Float64())}
    monkeypatch.setattr(pages, "_tonight", lambda rows: forecast(rows).with_columns(**baseline))
    settled(client)
    board = records(client, "/export.csv?panel=board")
    page = client.get("/?lang=en").text
    assert {row["tonight_source"] for row in board} == {"persistence"}
    assert "forecast" not in {row["admissions_source"] for row in board}
    shown = face(page, "board")
    assert all(row["Expected at midnight"].endswith("◇") for row in shown)
    assert not any("◆" in row["Admissions until midnight"] for row in shown)
    assert "the forecast has done badly in the last week; admissions are the mean of this weekday" in page
    assert "less planned discharges" not in page


@pytest.mark.embedded_only("it is about the page")
@pytest.mark.parametrize(
    ("weeks", "english", "french"),
    [(1, "over 1 week", "sur 1 semaine"), (3, "over 3 weeks", "sur 3 semaines")],
)
def test_the_board_says_over_how_many_weeks_admissions_are_the_mean(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, weeks: int, english: str, french: str
) -> None:
    forecast, none = pages._tonight, {"expected_admissions": pl.lit(None, pl.Float64())}
    monkeypatch.setattr(pages, "_tonight", lambda rows: forecast(rows).with_columns(**none))
    monkeypatch.setattr(Board, "usual_weeks", weeks)
    settled(client)
    for language, expected in {"en": english, "fr": french}.items():
        assert re.search(rf"{expected}\b", client.get(f"/?lang={language}").text)
