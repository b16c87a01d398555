"""The dashboard over HTTP: what a page, its CSV and its health say, and to whom."""

from __future__ import annotations

import csv
import importlib
import io
import pkgutil
import re
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from patient_flow.contracts.measure_types import Text
from patient_flow.contracts.measures import MEASURES
from patient_flow.contracts.rules import RULES
from patient_flow.contracts.tables import KPI_DEPARTMENT_DAY
from patient_flow.dashboard import panels, queries
from patient_flow.dashboard.access import SignIn
from patient_flow.dashboard.formats import Locale, preferred_language
from patient_flow.dashboard.panels import board, discharges, emergency_now
from patient_flow.dashboard.server import Options as DashboardOptions
from patient_flow.dashboard.texts import NAMES, TEXTS, Words
from patient_flow.dashboard.trends import texts as trends
from patient_flow.dashboard.what_if import texts as what_if
from patient_flow.stores.warehouse.errors import WarehouseError
from patient_flow.stores.warehouse.schema import LOAD_LOG, TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import Hospital
from patient_flow_tests.stacks import Stack

FACES = ("board", "emergency_now", "hospitals")
"""Panels that are a table themselves."""
PANELS = (
    "alerts",
    "board",
    "emergency_now",
    "arrivals",
    "hospitals",
    "escalation",
    "escalation_history",
    "ahead",
    "emergency",
    "discharges",
    "occupancy",
    "heat",
    "movements",
    "waits",
    "stays",
    "flows",
    "overstays",
    "readmissions",
    "quality",
)
NUMBERED = (
    "emergency",
    "discharges",
    "occupancy",
    "heat",
    "movements",
    "waits",
    "stays",
    "flows",
    "overstays",
    "quality",
)


def text(client: TestClient, path: str = "/", **headers: str) -> str:
    reply = client.get(path, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.text


def records(client: TestClient, path: str, **headers: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text(client, path, **headers).removeprefix("\ufeff"))))


def settled(client: TestClient, path: str = "/figures", **headers: str) -> str:
    """The page once nothing on it is being read any more."""
    for _ in range(100):
        reply = client.get(path, headers=headers)
        if reply.headers["X-Refresh-Seconds"] != "2":
            return reply.text
        time.sleep(0.05)
    raise AssertionError("still being read")


def test_the_page_has_every_panel_with_a_table_behind_it(client: TestClient) -> None:
    settled(client)
    page = text(client)
    assert re.findall(r'class="panel \w+" id="(\w+)"', page) == list(PANELS)
    folds = page.count('<details id="alerts')  # none where no alert is open
    assert page.count("<details") - folds == len(PANELS) - len(FACES) - 1
    assert page.count('<table class="face"') == len(FACES)
    assert page.count('class="card"') == 5


def test_the_page_shows_the_numbers_of_the_visits(client: TestClient, group: Hospital) -> None:
    settled(client)
    shown = re.findall(r'<p class="figure">(?:<a [^>]+>)?(.*?)(?:</a>)?</p>', text(client, "/?lang=en"))
    assert shown[0] == str(sum(stay.is_in_bed(group.now) for stay in group.stays))
    assert shown[3].endswith("\N{NO-BREAK SPACE}min")


@pytest.mark.embedded_only("it is about the page")
def test_the_page_says_how_far_the_history_is_until_all_of_it_is_there(group: Hospital) -> None:
    for days, is_there in ((60, True), (30, False), (0, False)):
        with client_of(group.warehouse, lambda: group.now, DashboardOptions(history_days=days)) as client:
            settled(client)
            page = text(client, "/?lang=en")
        assert (f" of {days} days<" in page) is is_there
        assert ("history from" in page) is is_there


def test_the_history_does_not_begin_on_a_day_of_which_only_late_events_are_known(stack: Stack) -> None:
    """A visit of weeks ago may be reported again among the newest events."""
    days = TABLES[KPI_DEPARTMENT_DAY.path]
    counts = {date(2026, 10, 20): 0, date(2026, 10, 24): 2, date(2026, 11, 28): 496, date(2026, 11, 30): 1_055}
    warehouse = Warehouse(stack.warehouse_url(), stack.warehouse_kind)
    warehouse.init()
    assert queries.first_full_day(warehouse) is None
    with warehouse.writing() as connection:
        for key, (day, discharges) in enumerate(counts.items()):
            stated = {"date": day, "discharges": discharges, "department_key": key}
            needed = {column.name: 0 for column in days.columns if not column.nullable}
            connection.execute(days.insert().values(**needed | stated))
    assert queries.first_full_day(warehouse) == date(2026, 11, 28)
    warehouse.dispose()


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_the_page_takes_nothing_from_anywhere_else(client: TestClient) -> None:
    reply = client.get("/")
    assert "default-src 'self'" in reply.headers["Content-Security-Policy"]
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', reply.text)
    assert " style=" not in reply.text
    assert "<script>" not in reply.text
    for path in re.findall(r'(?:src|href)="(static/[^"]+)"', reply.text):
        assert client.get("/" + path).status_code == 200


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_the_filters_are_in_the_address(client: TestClient) -> None:
    settled(client, "/figures?days=14")
    page = text(client, "/?hospital=1&department=ICU&gender=Female&age=65-79&days=14&lang=en")
    for value in ("1", "ICU", "Female", "65-79", "14"):
        assert f'<option value="{value}" selected>' in page
    assert 'id="hours"' in page
    assert "Beds hour by hour: ICU" in page


def test_a_department_leads_to_its_hours(client: TestClient) -> None:
    href = re.search(r'<a href="(\?department=ICU[^"]*)"', text(client, "/?gender=Male&lang=en"))
    assert href is not None
    drilled = href[1].replace("&amp;", "&")
    assert "gender=Male" in drilled
    assert 'id="hours"' in text(client, "/" + drilled)


@pytest.mark.embedded_only("what the page makes of a request, on any database")
@pytest.mark.parametrize(
    "query", ["?days=9999", "?days=x", "?gender=%27%3B--", "?age=1", "?lang=xx", "?hospital=" + "9" * 500]
)
def test_filters_that_make_no_sense_do_no_harm(client: TestClient, query: str) -> None:
    assert 'id="status"' in text(client, "/" + query)


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_names_in_an_address_are_shown_as_text(client: TestClient) -> None:
    page = text(client, "/?department=%3Cscript%3Ealert(1)%3C/script%3E&lang=en")
    assert "<script>alert" not in page
    assert "Nothing to show" in page


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_a_refresh_that_brings_nothing_new_is_empty(client: TestClient) -> None:
    settled(client)
    first = client.get("/figures")
    again = client.get("/figures", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


def test_the_csv_has_what_is_on_screen(client: TestClient, group: Hospital) -> None:
    settled(client, "/figures?hospital=1")
    rows = records(client, "/export.csv?hospital=1&lang=fr")
    assert {row["panel"] for row in rows} == {"key_figures", *PANELS}
    in_beds = sum(stay.is_in_bed(group.now) for stay in group.stays if stay.hospital == "1")
    assert next(row["value"] for row in rows if row["row"].startswith("in_beds")) == str(in_beds)
    moved = records(client, "/export.csv?panel=movements&hospital=1")
    today = group.now.astimezone(ZoneInfo(ZONE)).date()
    assert [row["date"] for row in moved] == [str(today - timedelta(days=back)) for back in range(6, -1, -1)]
    admitted = [stay for stay in group.stays if stay.is_first and stay.hospital == "1"]
    yesterday = sum(stay.began.astimezone(ZoneInfo(ZONE)).date() == today - timedelta(days=1) for stay in admitted)
    assert moved[-2]["admissions"] == str(yesterday)


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_the_csv_has_full_numbers_whatever_the_language(client: TestClient) -> None:
    english = text(client, "/export.csv?panel=waits&lang=en")
    assert english == text(client, "/export.csv?panel=waits&lang=fr")
    assert re.search(r"\d+\.\d{3,}", english)


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_french_is_spoken_to_those_who_prefer_it(client: TestClient) -> None:
    page = text(client, **{"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.5"})
    assert '<html lang="fr">' in page
    assert "Patients hospitalisés" in page
    assert "Réanimation" in page
    assert '<html lang="en">' in text(client, "/?lang=en", **{"Accept-Language": "fr"})
    assert [preferred_language(said) for said in ("", "de", "en;q=0.3,fr;q=0.8", "fr;q=0", "fr;q=x")] == [
        "en",
        "en",
        "fr",
        "en",
        "en",
    ]


def test_both_languages_have_every_text_and_every_rule() -> None:
    assert set(TEXTS["en"]) == set(TEXTS["fr"])
    for key, said in TEXTS["en"].items():
        assert re.findall(r"{\w+}", said).sort() == re.findall(r"{\w+}", TEXTS["fr"][key]).sort(), key
    assert {rule.name for rule in RULES} <= set(NAMES["fr"])


def test_texts_of_panels_and_measures_have_the_same_places_for_values_in_both_languages() -> None:
    names = [f"{panels.__name__}.{found.name}" for found in pkgutil.iter_modules(panels.__path__)]
    texts = [value for name in names for value in vars(importlib.import_module(name)).values()]
    texts += [text for value in texts if isinstance(value, dict) for text in value.values()]
    texts += [text for measure in MEASURES for text in (measure.label, measure.meaning)]
    found = [text for text in texts if isinstance(text, Text)]
    assert len(found) > 2 * len(MEASURES)
    for text in found:
        assert text.en
        assert text.fr
        assert sorted(re.findall(r"{\w+}", text.en)) == sorted(re.findall(r"{\w+}", text.fr)), text
        for forms in re.findall(r"{\w+:([^}]*)}", text.en + text.fr):
            assert forms.count("|") == 1, text


@pytest.mark.parametrize(
    ("number", "english", "french"),
    [
        (0, "0 patients: ICU", "0 patient : ICU"),
        (1, "1 patient: ICU", "1 patient : ICU"),
        (2, "2 patients: ICU", "2 patients : ICU"),
        (1200, "1,200 patients: ICU", "1\N{NARROW NO-BREAK SPACE}200 patients : ICU"),
    ],
)
def test_words_agree_with_their_number(number: int, english: str, french: str) -> None:
    for language, expected in {"en": english, "fr": french}.items():
        counted = Locale(language, ZoneInfo("Europe/Paris")).counted(number)
        assert Words(language)("patients_count", count=counted, where="ICU") == expected


@pytest.mark.parametrize(
    ("text", "one", "several", "un", "plusieurs"),
    [
        (board.NOTE, "1 department, 1 of", "2 departments, 2 of", "1 service, dont", "2 services, dont"),
        (
            what_if.TONIGHT_FREE,
            "1 free bed with",
            "2 free beds with",
            "1 lit libre avec la",
            "2 lits libres avec la",
        ),
        (
            what_if.TONIGHT_OCCUPIED,
            "1 occupied bed with",
            "2 occupied beds with",
            "1 lit occupé avec la",
            "2 lits occupés avec la",
        ),
        (
            trends.COUNTED,
            "1 of 1 point is a special cause.",
            "2 of 2 points are special causes.",
            "1 point sur 1 est une cause spéciale.",
            "2 points sur 2 sont des causes spéciales.",
        ),
        (discharges.NOTE, "1 expected", "2 expected", "1 prévue aujourd’hui, 1 retardée,", "2 prévues aujourd’hui, 2"),
        (emergency_now.NOTE, "1 in the", "2 in the", "1 présent, 1", "2 présents, 2"),
    ],
)
def test_texts_agree_with_their_numbers(text: Text, one: str, several: str, un: str, plusieurs: str) -> None:
    for language, expected in {"en": (one, several), "fr": (un, plusieurs)}.items():
        for number, said in enumerate(expected, start=1):
            counted = Locale(language, ZoneInfo("Europe/Paris")).counted(number)
            values = dict.fromkeys(re.findall(r"{(\w+)", text[language]), counted)
            assert said in text[language].format(**values)


def test_numbers_and_dates_follow_the_language_and_the_hospitals_clock() -> None:
    english, french = (Locale(language, ZoneInfo("Europe/Paris")) for language in ("en", "fr"))
    at = datetime(2026, 7, 14, 22, 5, tzinfo=ZoneInfo("UTC"))
    space, narrow = "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"
    assert english.number(1234.56, 1) == "1,234.6"
    assert french.number(1234.56, 1) == f"1{narrow}234,6"
    assert (english.quantity(87.25, "percent"), french.quantity(87.35, "percent")) == ("87.2%", f"87,3{narrow}%")
    assert english.moment(at) == f"Wed{space}15{space}Jul, 00:05"
    assert french.moment(at) == f"mer.{space}15{space}juil., 00:05"
    assert english.number(None) == "–"
    spans = [timedelta(seconds=5), timedelta(minutes=90), timedelta(hours=30), timedelta(days=9)]
    assert [french.duration(span).replace(space, " ") for span in spans] == ["5 s", "90 min", "30 h", "9 j"]


@pytest.mark.parametrize(
    ("age", "state", "said"),
    [
        (timedelta(minutes=1), "fresh", "Up to date"),
        (timedelta(minutes=20), "behind", "Behind"),
        (timedelta(hours=3), "stale", "Stale"),
    ],
)
def test_the_badge_shows_the_age_of_the_newest_event(group: Hospital, age: timedelta, state: str, said: str) -> None:
    now = newest_event(group) + age
    with client_of(group.warehouse, lambda: now) as client:
        page = text(client, "/?lang=en")
        assert f'class="status {state}"' in page
        assert f"</span>{said}</strong>" in page
        assert ('role="alert"' in page) == (state != "fresh")
        health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, state)
    assert health.json()["newest_event_age_seconds"] == pytest.approx(age.total_seconds())


@pytest.mark.parametrize(
    ("language", "said"), [("en", "Not available at the moment."), ("fr", "Indisponible pour le moment.")]
)
def test_unreadable_readmissions_are_shown_as_unavailable_without_delaying_the_page(
    group: Hospital, monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    def refuse(*_: object) -> None:
        raise WarehouseError("too many rows")

    monkeypatch.setattr(queries, "returns", refuse)
    with client_of(group.warehouse, lambda: group.now) as client:
        page = settled(client, f"/figures?lang={language}")
    assert said in page
    assert "too many rows" not in page


@pytest.mark.embedded_only("what the page makes of a request, on any database")
@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "plus {} in departments without known beds"),
        ("fr", "plus {} dans des services dont les lits sont inconnus"),
    ],
)
def test_patients_whom_the_occupancy_leaves_out_are_counted_beside_it(
    client: TestClient, group: Hospital, monkeypatch: pytest.MonkeyPatch, language: str, said: str
) -> None:
    assert said.partition("{}")[2] not in text(client, f"/?lang={language}")
    real = queries.departments
    beds = pl.when(pl.col("hospital_id") == "1").then("staffed_beds").alias("staffed_beds")
    monkeypatch.setattr(queries, "departments", lambda warehouse: real(warehouse).with_columns(beds))
    left_out = sum(stay.is_in_bed(group.now) for stay in group.stays if stay.hospital == "2")
    with client_of(group.warehouse, lambda: group.now) as other:
        assert said.format(left_out) in settled(other, f"/figures?lang={language}")


SILENT = {"1": timedelta(minutes=2), "2": timedelta(hours=8)}
"""Age of the newest event of each hospital when one of them has lost its connection."""
IDLE = {"1": timedelta(minutes=2), "2": timedelta(hours=5)}
"""The same when one has a quiet night."""
GONE = {"1": timedelta(minutes=2)}
"""The same when one has had no patient for days."""


@pytest.mark.embedded_only("what the page makes of a request, on any database")
@pytest.mark.parametrize(
    ("ages", "query", "state", "age", "banner"),
    [
        pytest.param(IDLE, "?", "fresh", "2 min", "", id="somebody has a quiet night"),
        pytest.param(IDLE, "?hospital=2", "fresh", "5 h", "", id="the page of the quiet one tells its age"),
        pytest.param(SILENT, "?", "behind", "2 min", "any more: La Rivière (8 h).", id="one of two is silent"),
        pytest.param(SILENT, "?hospital=2", "stale", "8 h", "any more: La Rivière (8 h).", id="the silent one"),
        pytest.param(SILENT, "?hospital=1", "fresh", "2 min", "", id="the page of the one that sends"),
        pytest.param(SILENT, "?department=Surgery", "fresh", "2 min", "", id="a department that only it has"),
        pytest.param(GONE, "?", "fresh", "2 min", "", id="a hospital without patients is not missed"),
        pytest.param(
            GONE, "?hospital=2", "stale", "", "has come from these hospitals in the last 7 days", id="its own page"
        ),
    ],
)
def test_the_badge_is_that_of_the_hospitals_on_the_page(
    group: Hospital,
    monkeypatch: pytest.MonkeyPatch,
    ages: dict[str, timedelta],
    query: str,
    state: str,
    age: str,
    banner: str,
) -> None:
    now = newest_event(group) + timedelta(minutes=2)
    sent = pl.DataFrame({"hospital_id": list(ages), "last_at": [now - age for age in ages.values()]})
    monkeypatch.setattr(queries, "last_sent", lambda *_: sent)
    with client_of(group.warehouse, lambda: now) as client:
        page = settled(client, "/figures" + query).replace(" ", " ")
    assert f'class="status {state}"' in page
    assert re.findall(r"newest event (.*?) old", page)[:1] == ([age] if age else [])
    assert banner in page
    assert ('id="banner"' in page) == bool(banner)


def test_a_hospitals_newest_event_is_the_newest_that_the_hub_accepted_of_its_stays(group: Hospital) -> None:
    hours = queries.hours_of(group.now.date() - timedelta(days=7), group.now.date(), ZoneInfo(ZONE))
    sent = dict(queries.last_sent(group.warehouse, hours.first).iter_rows())
    for hospital in ("1", "2"):
        said = [at for stay in group.stays if stay.hospital == hospital for at in (stay.began, stay.ended) if at]
        assert sent[hospital] == max(said)


def newest_event(group: Hospital) -> datetime:
    newest = group.warehouse.query(sa.select(LOAD_LOG.c.newest_event_at))["newest_event_at"].max()
    assert isinstance(newest, datetime)
    return newest


def test_a_change_of_the_rules_is_named_while_the_page_reaches_back_before_it(
    group: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cards compare with a week ago."""
    loads = queries.loads
    for days, is_named in ((1, True), (30, False)):
        changed_at = pl.lit(group.now - timedelta(days=days))
        monkeypatch.setattr(
            queries, "loads", lambda warehouse, at=changed_at: loads(warehouse).with_columns(figures_changed_at=at)
        )
        with client_of(group.warehouse, lambda: group.now) as client:
            assert ("Figures follow other rules since" in settled(client, "/figures?lang=en")) == is_named


def test_an_empty_warehouse_is_called_empty(tmp_path: Path, group: Hospital) -> None:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/empty.db", "sqlite")
    for prepare in (lambda: None, warehouse.init):  # no tables yet, then tables without a load
        prepare()
        with client_of(warehouse, lambda: group.now) as client:
            assert "The warehouse is empty" in text(client, "/?lang=en")
            assert "L’entrepôt de données est vide" in text(client, "/figures?lang=fr")
            health = client.get("/health")
            assert (health.status_code, health.json()["status"]) == (200, "empty")
            assert text(client, "/export.csv").strip("\ufeff\r\n") == "panel,row,measure,value,period"
    warehouse.dispose()


def test_a_warehouse_that_cannot_be_reached_is_called_that(tmp_path: Path, group: Hospital) -> None:
    (tmp_path / "warehouse.db").write_bytes(b"this is no database" * 100)
    warehouse = Warehouse(f"sqlite:///{tmp_path}/warehouse.db", "sqlite")
    with client_of(warehouse, lambda: group.now) as client:
        page = text(client, "/?lang=en")
        assert "The warehouse cannot be reached" in page
        assert str(tmp_path) not in page
        health = client.get("/health")
        assert (health.status_code, health.json()) == (503, {"status": "unreachable"})
    warehouse.dispose()


def test_behind_a_proxy_only_signed_in_viewers_see_figures(signed_client: TestClient) -> None:
    refused = signed_client.get("/", headers={"Accept-Language": "fr"})
    assert refused.status_code == 401
    assert "Veuillez vous connecter" in refused.text
    for path in ("/figures", "/export.csv"):
        assert signed_client.get(path).status_code == 401
    assert signed_client.get("/health").status_code == 200
    allowed = text(signed_client, **{"X-User": "a. martin", "X-Hospitals": "*", "X-Departments": "*"})
    assert "Signed in: a. martin" in allowed


def test_limits_in_headers_hold_for_every_answer(signed_client: TestClient, group: Hospital) -> None:
    headers = {"X-User": "someone", "X-Hospitals": "2", "X-Departments": "ICU,Surgery"}
    page = text(signed_client, "/?hospital=1", **headers)
    assert "Nothing to show" in page
    assert "Saint-Aubin" not in page
    rows = records(signed_client, "/export.csv?panel=overstays", **headers)
    truth = [stay for stay in group.stays if (stay.hospital, stay.department) == ("2", "ICU")]
    assert [(row["place"], row["in_beds_now"]) for row in rows] == [
        ("ICU", str(sum(stay.is_in_bed(group.now) for stay in truth)))
    ]


def test_limits_fail_closed(signed_client: TestClient) -> None:
    assert "Nothing to show" in text(signed_client, **{"X-User": "someone", "X-Departments": "*"})


@pytest.mark.embedded_only("what the page makes of a request, on any database")
def test_headers_from_anywhere_but_the_proxy_count_for_nothing(group: Hospital) -> None:
    from patient_flow.dashboard.server import Options

    with client_of(group.warehouse, lambda: group.now, Options(sign_in=SignIn("X-User"))) as client:
        assert client.get("/", headers={"X-User": "someone"}).status_code == 403


def test_limits_without_a_user_are_refused_at_start() -> None:
    with pytest.raises(ValueError, match="PATIENT_FLOW_DASHBOARD_USER_HEADER"):
        SignIn(hospitals_header="X-Hospitals")
