"""Aggregate readers: closed days are published once, and a dashboard behind the header shows nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from starlette.testclient import TestClient

from patient_flow.dashboard.access import SignIn
from patient_flow.dashboard.server import Options
from patient_flow.pipeline.publication import last_closed_day, publish
from patient_flow.settings import SettingsError, load
from patient_flow.stores.warehouse.aggregates import Aggregates
from patient_flow.stores.warehouse.schema import AGGREGATE_COUNTS
from patient_flow_tests.builders import ZONE
from patient_flow_tests.dashboard.conftest import client_of
from patient_flow_tests.dashboard.hospital import Hospital

PARIS = ZoneInfo(ZONE)
THRESHOLD = 3
FULL = {"X-Detail": "full"}
SIGN_IN = SignIn("X-User", "X-Hospitals", trusted_proxies=("testclient",), aggregates_header="X-Detail")
USER = {"X-User": "a. martin", "X-Hospitals": "*"}
COUNTS = [name for name in AGGREGATE_COUNTS if name != "wait_minutes_sum"]


@pytest.fixture(scope="module")
def published(group: Hospital) -> pl.DataFrame:
    """All published days of the hospital group."""
    aggregates = Aggregates(group.warehouse)
    assert publish(group.lake, aggregates, THRESHOLD, PARIS, group.now, with_history=True) > 0
    return aggregates.days(date.min)


@pytest.fixture
def behind_the_header(group: Hospital, published: pl.DataFrame) -> Iterator[TestClient]:
    with client_of(group.warehouse, lambda: group.now, Options(SIGN_IN, suppress_below=THRESHOLD)) as client:
        yield client


@pytest.mark.parametrize(
    ("clock", "expected"), [("2026-11-20T05:59", 17), ("2026-11-20T06:00", 18), ("2026-11-20T23:59", 18)]
)
def test_a_day_closes_at_six_of_the_second_day_after_it(clock: str, expected: int) -> None:
    assert last_closed_day(datetime.fromisoformat(clock).replace(tzinfo=PARIS), PARIS) == date(2026, 11, expected)


def test_every_closed_day_of_every_hospital_is_published_and_no_small_count(
    group: Hospital, published: pl.DataFrame
) -> None:
    totals = published.filter((pl.col("department") == "") & (pl.col("gender") == ""))
    last = last_closed_day(min(group.now, _newest(group)), PARIS)
    for hospital_id in ("1", "2"):
        dates = totals.filter(hospital_id=hospital_id)["date"].sort()
        assert dates.to_list() == [dates[0] + timedelta(days=number) for number in range((last - dates[0]).days + 1)]
    shown = published.select(COUNTS)
    assert shown.select(pl.any_horizontal(pl.all().is_between(1, THRESHOLD - 1)).any()).item() is False
    assert totals["admissions"].is_not_null().sum() > 10
    days = [stay for stay in group.stays if stay.hospital == "1"]
    for row in totals.filter(hospital_id="1").iter_rows(named=True):
        midnight = datetime.combine(row["date"] + timedelta(days=1), datetime.min.time(), PARIS)
        in_beds = sum(stay.is_in_bed(midnight) for stay in days)
        assert row["patients_at_midnight"] in (None, in_beds)


def _newest(group: Hospital) -> datetime:
    from patient_flow.contracts.tables import SILVER_EVENTS

    newest = group.lake.open(SILVER_EVENTS).newest("enqueued_at")
    assert newest is not None
    return newest


def test_a_published_day_is_never_published_again(group: Hospital, published: pl.DataFrame) -> None:
    aggregates = Aggregates(group.warehouse)
    assert publish(group.lake, aggregates, 10, PARIS, group.now, with_history=True) == 0
    assert aggregates.days(date.min).equals(published)


def test_a_month_is_the_sum_of_its_published_days(group: Hospital, published: pl.DataFrame) -> None:
    months = Aggregates(group.warehouse).months()
    key = ["month", "hospital_id", "department", "gender"]
    closed = published.filter(pl.col("is_month_end"))["month"].unique()
    assert months["month"].unique().sort().to_list() == closed.sort().to_list()
    expected = (
        published.filter(pl.col("month").is_in(closed.implode()))
        .group_by(key)
        .agg(
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in AGGREGATE_COUNTS),
            *(pl.col(name).count().cast(pl.Int64).alias(f"{name}_days") for name in AGGREGATE_COUNTS),
        )
        .select(months.columns)
    )
    assert expected.sort(key).equals(months.sort(key))


def test_days_that_an_import_brings_are_published_before_the_others(group: Hospital) -> None:
    """The published days of a second warehouse begin late; the history joins them without giving the first one away."""
    from patient_flow.stores.warehouse.warehouse import Warehouse

    warehouse = Warehouse("sqlite://", "sqlite")
    warehouse.init()
    aggregates = Aggregates(warehouse)
    earlier = group.now - timedelta(days=10)
    assert publish(group.lake, aggregates, THRESHOLD, PARIS, earlier) == 2  # the newest closed day of each hospital
    publish(group.lake, aggregates, THRESHOLD, PARIS, earlier, with_history=True)
    rows = aggregates.days(date.min)
    kept = rows.filter(pl.col("date") > rows["date"].min() + timedelta(days=12))
    fresh = Warehouse("sqlite://", "sqlite")
    fresh.init()
    Aggregates(fresh).add(kept.to_dicts())
    publish(group.lake, Aggregates(fresh), THRESHOLD, PARIS, earlier, with_history=True)
    whole = Aggregates(fresh).days(date.min)
    assert whole.select("date", "hospital_id").unique().height == rows.select("date", "hospital_id").unique().height
    for hospital_id in ("1", "2"):
        first = kept.filter(hospital_id=hospital_id)["date"].min()
        assert isinstance(first, date)
        joined = whole.filter(hospital_id=hospital_id, date=first - timedelta(days=1))
        hidden = joined.select("admissions", "discharges", "patients_at_midnight")
        assert hidden.select(pl.all_horizontal(pl.all().is_null()).all()).item()
    for used in (warehouse, fresh):
        used.dispose()


@pytest.mark.parametrize(
    "headers", [{}, {"X-Detail": ""}, {"X-Detail": "Full"}, {"X-Detail": "full,full"}, {"X-Detail": "*"}]
)
def test_without_full_in_the_header_a_viewer_sees_published_figures_only(
    behind_the_header: TestClient, headers: dict[str, str]
) -> None:
    page = behind_the_header.get("/?lang=en", headers=USER | headers)
    assert page.status_code == 200
    assert "Closed days and months" in page.text
    assert "Overstays" not in page.text
    assert behind_the_header.get("/figures", headers=USER | headers).status_code == 403
    for panel in ("", "?panel=waits", "?of=months", "?hospital=1&days=1"):
        export = behind_the_header.get(f"/export.csv{panel}", headers=USER | headers)
        assert export.text.removeprefix("\ufeff").startswith(("date,hospital_id", "month,hospital_id"))


def test_full_once_from_the_proxy_shows_everything(behind_the_header: TestClient, group: Hospital) -> None:
    assert "Closed days and months" not in behind_the_header.get("/?lang=en", headers=USER | FULL).text
    twice = [*(USER.items()), ("X-Detail", "full"), ("X-Detail", "full")]
    assert "Closed days and months" in behind_the_header.get("/?lang=en", headers=twice).text
    anywhere = SignIn(aggregates_header="X-Detail", trusted_proxies=("192.0.2.1",))
    with client_of(group.warehouse, lambda: group.now, Options(anywhere, suppress_below=THRESHOLD)) as client:
        assert "Jours et mois clos" in client.get("/?lang=fr", headers=FULL).text


def test_limits_by_hospital_hold_for_aggregate_readers(behind_the_header: TestClient, published: pl.DataFrame) -> None:
    reply = behind_the_header.get("/export.csv?of=days", headers=USER | {"X-Hospitals": "2"})
    rows = list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))
    assert {row["hospital_id"] for row in rows} == {"2"}
    assert len(rows) == published.filter(hospital_id="2").height
    small = {str(count) for count in range(1, THRESHOLD)}
    names = ("admissions", "discharges", "patients_at_midnight", "attendances")
    assert not [row for row in rows if small & {row[name] for name in names}]


def test_a_threshold_that_hides_nothing_is_refused() -> None:
    for value in ("1", "2", "-3", "x"):
        with pytest.raises(SettingsError, match="PATIENT_FLOW_SUPPRESS_BELOW"):
            load(environ={"PATIENT_FLOW_SUPPRESS_BELOW": value})
    with pytest.raises(SettingsError, match="needs PATIENT_FLOW_SUPPRESS_BELOW"):
        load(environ={"PATIENT_FLOW_DASHBOARD_AGGREGATES_HEADER": "X-Detail"})
    assert load(environ={"PATIENT_FLOW_SUPPRESS_BELOW": "3"}).suppress_below == 3
