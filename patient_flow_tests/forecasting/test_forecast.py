"""Forecasts of beds and arrivals from stays: coherent, plausible, and the same for the same knowledge."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from patient_flow.forecasting import series
from patient_flow.forecasting.forecast import GENDERS, QUANTILES, Change, forecast_arrivals, forecast_beds

c = pl.col
NOW = datetime(2026, 3, 10, 5, tzinfo=UTC)
BEGUN = NOW - timedelta(days=200)
ZONE = "Europe/Paris"
DEPARTMENTS = pl.DataFrame(
    {
        "department_key": [0, 1, 2, 3],
        "hospital_id": ["Unknown", "H1", "H1", "H2"],
        "department": ["Unknown", "ICU", "Surgery", "Surgery"],
        "class": [None, "critical_care", "inpatient", "inpatient"],
        "staffed_beds": [None, 12, 60, None],
        "is_inferred": [True, False, False, False],
        "valid_from": [BEGUN] * 4,
    },
    schema_overrides={"valid_from": pl.Datetime("us", "UTC"), "staffed_beds": pl.Int64},
)


def _stays(seed: int = 1) -> pl.DataFrame:
    """A steady hospital: about 10, 40 and 20 patients in bed."""
    random = np.random.default_rng(seed)
    frames = []
    for key, a_day, mean_hours in ((1, 5.0, 48.0), (2, 12.0, 80.0), (3, 6.0, 80.0)):
        count = int(a_day * 200)
        begun = random.uniform(0, 200 * 24, count)
        frames.append(
            pl.DataFrame(
                {
                    "department_key": key,
                    "gender": random.choice(["Female", "Male"], count),
                    "begun": begun,
                    "left": begun + random.exponential(mean_hours, count),
                }
            )
        )
    start = pl.lit(BEGUN)
    hours = pl.concat(frames).with_columns(
        admission_at=start + pl.duration(microseconds=(c("begun") * 3.6e9).cast(pl.Int64)),
        discharge_at=start + pl.duration(microseconds=(c("left") * 3.6e9).cast(pl.Int64)),
    )
    nothing = pl.lit(None, pl.Datetime("us", "UTC"))
    return hours.with_columns(
        discharge_at=pl.when(c("discharge_at") <= NOW).then(c("discharge_at")),
        planned_discharge_at=nothing,
        confirmed_until=nothing,
        is_visit_start=c("department_key") != 1,
        is_visit_end=True,
    ).filter(c("admission_at") <= NOW)


@pytest.fixture(scope="module")
def made() -> pl.DataFrame:
    return forecast_beds(_stays(), DEPARTMENTS, NOW, ZONE)


def test_it_states_72_hours_and_seven_local_midnights(made: pl.DataFrame) -> None:
    of_icu = made.filter(c("department_key") == 1, c("gender") == "All").sort("horizon_hours")
    assert of_icu["horizon_hours"].to_list()[:72] == list(range(1, 73))
    local = of_icu["target_at"].dt.convert_time_zone(ZONE)
    assert (local.dt.hour() == 0).sum() == 7
    assert of_icu.height == 72 + 4


def test_genders_and_departments_add_up_in_expectation(made: pl.DataFrame) -> None:
    for column in ("expected_beds", "expected_admissions"):
        of_departments = made.filter(c("department_key") != 0)
        genders = (
            of_departments.filter(c("gender") != "All").group_by("department_key", "target_at").agg(c(column).sum())
        )
        totals = of_departments.filter(c("gender") == "All").join(genders, on=["department_key", "target_at"])
        assert totals[column].to_list() == pytest.approx(totals[f"{column}_right"].to_list(), rel=1e-9)
        hospital = made.filter(c("department_key") == 0, c("gender") == "All")
        summed = totals.group_by("hospital_id", "target_at").agg(c(column).sum())
        both = hospital.join(summed, on=["hospital_id", "target_at"])
        if column == "expected_beds":  # admissions of a hospital are no transfers
            assert both[column].to_list() == pytest.approx(both[f"{column}_right"].to_list(), rel=1e-9)


def test_quantiles_never_cross_and_are_never_negative(made: pl.DataFrame) -> None:
    values = made.select(QUANTILES).to_numpy()
    assert (np.diff(values, axis=1) >= 0).all()
    assert (values >= 0).all()


def test_a_hospital_is_less_uncertain_than_the_sum_of_its_departments(made: pl.DataFrame) -> None:
    at = made.filter(c("gender") == "All", c("horizon_hours") == 48, c("hospital_id") == "H1")
    width = at.with_columns(width=c("p90") - c("p10"))
    departments = width.filter(c("department_key") != 0)["width"].sum()
    assert width.filter(c("department_key") == 0)["width"].item() < departments


def test_the_probability_of_a_full_department_only_rises_and_needs_staffed_beds(made: pl.DataFrame) -> None:
    chances = made.filter(c("department_key") == 1, c("gender") == "All").sort("target_at")["probability_full"]
    assert (chances.diff().drop_nulls() >= -1e-9).all()
    assert 0 < chances[-1] <= 1
    assert made.filter(c("department_key") == 3)["probability_full"].null_count() > 0
    assert (
        made.filter(c("gender") != "All")["probability_full"].null_count() == made.filter(c("gender") != "All").height
    )


def test_a_steady_hospital_stays_where_it_is(made: pl.DataFrame) -> None:
    far = made.filter(c("gender") == "All", c("horizon_hours") >= 150, c("department_key") != 0)
    means = dict(far.group_by("department_key").agg(c("expected_beds").mean()).iter_rows())
    assert means[1] == pytest.approx(10, rel=0.25)
    assert means[2] == pytest.approx(40, rel=0.2)


def test_patients_in_bed_when_a_feed_begins_do_not_make_stays_look_longer() -> None:
    began = NOW - timedelta(days=25)
    listed = _stays().filter(c("discharge_at").is_null() | (c("discharge_at") > began))
    rows = forecast_beds(listed, DEPARTMENTS, NOW, ZONE)
    whole = rows.filter(c("gender") == "All", c("department_key") != 0, c("horizon_hours") >= 150)
    means = dict(whole.group_by("department_key").agg(c("expected_beds").mean()).iter_rows())
    assert means[1] == pytest.approx(10, rel=0.25)
    assert means[2] == pytest.approx(40, rel=0.2)
    spread = dict(whole.group_by("department_key").agg((c("p90") - c("p10")).mean()).iter_rows())
    assert spread[2] < 40


def test_planned_ends_move_departures_within_the_hours_of_discharge() -> None:
    noon = pl.col("discharge_at").dt.truncate("1d") + pl.duration(hours=12, minutes=pl.int_range(pl.len()) % 180)
    stays = _stays().with_columns(
        discharge_at=pl.when(c("discharge_at") > c("admission_at").dt.offset_by("1d")).then(noon)
    )
    stays = stays.with_columns(discharge_at=pl.when(c("discharge_at") <= NOW).then(c("discharge_at")))
    error = pl.duration(hours=(pl.int_range(pl.len()) % 13) - 6)
    known = stays.with_columns(planned_discharge_at=c("discharge_at") + error)
    tomorrow = NOW + timedelta(hours=31)
    planned = known.with_columns(
        planned_discharge_at=pl.when(c("discharge_at").is_null())
        .then(pl.lit(tomorrow))
        .otherwise("planned_discharge_at")
    )
    at = (c("department_key") == 2) & (c("gender") == "All")
    rows = forecast_beds(planned, DEPARTMENTS, NOW, ZONE).filter(at).sort("horizon_hours")
    gone = dict(rows.select("horizon_hours", "expected_discharges").iter_rows())
    overnight, by_day = gone[30] - gone[14], gone[36] - gone[30]
    assert overnight < 0.1 * by_day


def test_a_planned_end_that_ends_a_stay_by_itself_empties_the_bed_then() -> None:
    stays = _stays()
    leaving = NOW + timedelta(hours=20)
    planned = stays.with_columns(
        discharge_at=pl.when((c("department_key") == 1) & c("discharge_at").is_null())
        .then(pl.lit(leaving))
        .otherwise(c("discharge_at"))
    )
    with_plans = forecast_beds(planned, DEPARTMENTS, NOW, ZONE)
    at = (c("department_key") == 1) & (c("gender") == "All")
    before, after = (
        with_plans.filter(at, c("horizon_hours") == hours)["expected_discharges"].item() for hours in (19, 21)
    )
    present = stays.filter(c("department_key") == 1, c("discharge_at").is_null()).height
    assert after - before > 0.9 * present


def test_the_same_knowledge_gives_the_same_forecast_to_the_bit(made: pl.DataFrame) -> None:
    shuffled = _stays().sample(fraction=1.0, shuffle=True, seed=3)
    again = forecast_beds(shuffled, DEPARTMENTS, NOW, ZONE)
    order = ["hospital_id", "department_key", "gender", "target_at"]
    assert again.sort(order).equals(made.sort(order))


def test_a_department_without_a_stay_borrows_from_others() -> None:
    stays = _stays().filter(c("department_key") != 3)
    rows = forecast_beds(stays, DEPARTMENTS, NOW, ZONE).filter(c("department_key") == 3, c("gender") == "All")
    assert (rows["expected_beds"] < 1).all()
    assert rows["p975"].is_finite().all()


def test_arrivals_follow_their_hours_and_cover_what_comes() -> None:
    random = np.random.default_rng(5)
    hours = [BEGUN + timedelta(hours=hour) for hour in range(200 * 24)]
    rates = [8.0 if 8 <= hour.hour < 20 else 2.0 for hour in hours]
    arrivals = [
        hour + timedelta(minutes=1)
        for hour, rate in zip(hours, rates, strict=True)
        for _ in range(random.poisson(rate))
    ]
    rows = pl.DataFrame({"department_key": 1, "arrival_at": arrivals}).cast({"arrival_at": pl.Datetime("us", "UTC")})
    made = forecast_arrivals(rows, DEPARTMENTS, NOW, ZONE)
    at = dict(made.filter(c("horizon_hours") <= 24).select("target_at", "expected").iter_rows())
    day, night = NOW.replace(hour=12), (NOW + timedelta(days=1)).replace(hour=3)
    assert at[day] == pytest.approx(8.0, rel=0.25)
    assert at[night] == pytest.approx(2.0, rel=0.4)


def test_a_series_without_patients_is_forecast_from_its_own_changes() -> None:
    days = np.arange(400)
    weekly = 100 + 10 * ((days % 7) < 5)
    occupied = np.stack([weekly + 0.01 * days, 2.0 * weekly], axis=1).astype(float)
    expected, quantiles = series.forecast(occupied, weekday=int(days[-1] % 7), ahead=3)
    assert expected == pytest.approx([weekly[-1 - 7 + 3] + 4.0, 2.0 * weekly[-1 - 7 + 3]], rel=0.02)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    with pytest.raises(ValueError, match="days of history"):
        series.forecast(occupied[:50], weekday=0, ahead=1)


def test_every_gender_has_a_row(made: pl.DataFrame) -> None:
    assert set(made["gender"]) == {"All", *GENDERS}


def test_a_hospital_admits_those_who_start_a_visit_and_no_transfers() -> None:
    at_24 = _changed().filter(c("horizon_hours") == 24, c("gender") == "All", c("hospital_id") == "H1")
    whole, icu, surgery = at_24.sort("department_key").iter_rows(named=True)
    assert whole["expected_admissions"] == pytest.approx(surgery["expected_admissions"], abs=0.2)
    assert icu["expected_admissions"] > 4
    assert whole["expected_discharges"] == pytest.approx(icu["expected_discharges"] + surgery["expected_discharges"])


# --- what if --------------------------------------------------------------------------------------------------------

ORDER = ["hospital_id", "department_key", "gender", "target_at"]
SURGERY = ("H1", "Surgery")


def _changed(*changes: Change) -> pl.DataFrame:
    return forecast_beds(_stays(), DEPARTMENTS, NOW, ZONE, changes).sort(ORDER)


def _of_surgery(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(c("department_key") == 2, c("gender") == "All")


def test_no_change_is_the_plain_forecast_to_the_bit() -> None:
    plain = forecast_beds(_stays(), DEPARTMENTS, NOW, ZONE).sort(ORDER)
    assert _changed().equals(plain)
    assert _changed(Change(*SURGERY)).equals(plain)


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (Change(*SURGERY, postponed=3), Change(*SURGERY, postponed=9)),
        (Change(*SURGERY, postponed=9), Change(*SURGERY, postponed=1000)),
        (Change(*SURGERY, earlier_hours=2), Change(*SURGERY, earlier_hours=6)),
    ],
)
def test_more_of_a_measure_means_fewer_patients_and_other_departments_stay(small: Change, large: Change) -> None:
    plain, little, much = _changed(), _changed(small), _changed(large)
    for rows in (little, much):
        others = [frame.filter(c("hospital_id") == "H2") for frame in (rows, plain)]
        assert others[0].equals(others[1])
        everyone = rows.filter(c("hospital_id") == "H1", c("gender") == "All")
        sums = everyone.group_by("target_at", c("department_key") == 0).agg(c("expected_beds").sum())
        assert sums.group_by("target_at").agg(c("expected_beds").std())["expected_beds"].to_numpy().max() < 1e-6
    beds = [_of_surgery(rows).select("expected_beds", *QUANTILES).to_numpy() for rows in (plain, little, much)]
    for more, fewer in itertools.pairwise(beds):
        assert (more[:, 0] >= fewer[:, 0] - 1e-9).all()
        # The binomial distribution has a whole number of trials, which moves quantiles by less than half a bed.
        assert (more >= fewer - 0.5).all()
    assert beds[0][-1, 0] > beds[1][-1, 0] > beds[2][-1, 0]


def test_postponed_admissions_are_missing_from_the_expected_ones() -> None:
    at_72 = [
        _of_surgery(rows).filter(c("horizon_hours") == 72)
        for rows in (_changed(), _changed(Change(*SURGERY, postponed=9)))
    ]
    assert at_72[0]["expected_admissions"][0] - at_72[1]["expected_admissions"][0] == pytest.approx(9)


def test_more_beds_make_a_full_department_less_likely_and_change_no_patient() -> None:
    plain, closed, opened = (_of_surgery(_changed(Change(*SURGERY, beds=beds))) for beds in (0, -8, 8))
    for rows in (closed, opened):
        assert rows["expected_beds"].equals(plain["expected_beds"])
    assert (closed["probability_full"] >= plain["probability_full"]).all()
    assert (plain["probability_full"] >= opened["probability_full"]).all()
    assert closed["probability_full"][-1] > opened["probability_full"][-1]


def test_a_change_in_an_unknown_department_is_refused() -> None:
    with pytest.raises(ValueError, match="H1 has no department Dermatology"):
        _changed(Change("H1", "Dermatology", beds=1))
