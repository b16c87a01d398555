"""Known stays and attendances → the rows of ForecastBeds and ForecastArrivals.

Means add up: a department's is the sum of its genders', a hospital's the sum of its departments'. Variances are those
of the joint distribution, widened by how far the model was off at past instants, for departments and hospitals
separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from patient_flow.forecasting import arrivals, beds, calendar, distributions
from patient_flow.forecasting.beds import OPEN, Departments, Measures, Model, Projection, Stays
from patient_flow.forecasting.distributions import Array
from patient_flow.forecasting.feed_hours import first_hours
from patient_flow.forecasting.full import BUCKETS, probability_full
from patient_flow.forecasting.places import Places

c = pl.col

GENDERS = ("Female", "Male", "Other", "Unknown")
ALL = "All"
HOURS_AHEAD = 72
MIDNIGHTS = 7
QUANTILES = ("p025", "p05", "p10", "p25", "p50", "p75", "p90", "p95", "p975")

_ORIGINS = 42
_ORIGINS_PRIOR = 6.0
_FIRST_DAYS = 14
_GENDER_PRIOR = 20.0
_VISIT_DAYS = timedelta(days=120)
_VISIT_PRIOR = 5.0

STAY_COLUMNS = (
    *("department_key", "gender", "admission_at", "discharge_at", "planned_discharge_at", "confirmed_until"),
    *("is_visit_start", "is_visit_end"),
)
ATTENDANCE_COLUMNS = ("department_key", "arrival_at")


def known_stays(rows: pl.DataFrame, places: Places, made_at: datetime) -> Stays:
    """``rows`` (:data:`STAY_COLUMNS`) as known at ``made_at``, in hours; stays that nothing confirms are left out."""
    is_over = c("discharge_at") <= made_at
    chosen = rows.filter(is_over | c("confirmed_until").is_null() | (c("confirmed_until") >= made_at))
    joined = chosen.join(places.place_of_key(), on="department_key").with_columns(
        start=_hour_after("admission_at"),
        end=_hour_after("discharge_at").fill_null(OPEN),
        planned=_hour_after("planned_discharge_at").fill_null(OPEN),
        group=c("gender").replace_strict(
            {name: at for at, name in enumerate(GENDERS)}, default=3, return_dtype=pl.Int64
        ),
    )
    # In one order, whatever the order of the rows: sums of floats depend on it.
    names = ("place", "group", "start", "end", "planned")
    joined = joined.select(names).sort(names)
    return Stays(*(joined[name].to_numpy() for name in names))


def _hour_after(column: str) -> pl.Expr:
    """The first whole hour, since 1970, not before the instant."""
    return -((-c(column).dt.epoch("us")) // 3_600_000_000)


def targets_of(made_at: datetime, zone: str) -> pl.Series:
    """The hours that a forecast states: the next 72, then each local midnight to 7 days."""
    ahead = pl.DataFrame({"hours": range(1, beds.HORIZON_HOURS + 1)}).select(
        "hours", target_at=pl.lit(made_at) + pl.duration(hours=c("hours"))
    )
    local = c("target_at").dt.convert_time_zone(zone)
    is_midnight = local.dt.date() != (local - pl.duration(hours=1)).dt.date()
    chosen = ahead.filter((c("hours") <= HOURS_AHEAD) | (is_midnight & (is_midnight.cum_sum() <= MIDNIGHTS)))
    return chosen["target_at"].cast(pl.Datetime("us", "UTC"))


@dataclass(frozen=True)
class Change:
    """A measure in a department: beds opened (negative: closed), admissions of the next 72 hours that do not come
    before the forecast ends, and by how many hours patients leave sooner."""

    hospital_id: str
    department: str
    beds: int = 0
    postponed: float = 0.0
    earlier_hours: int = 0


def forecast_beds(
    rows: pl.DataFrame, versions: pl.DataFrame, made_at: datetime, zone: str, changes: Sequence[Change] = ()
) -> pl.DataFrame:
    """Rows of ForecastBeds for the whole hour ``made_at``, from ``rows`` (:data:`STAY_COLUMNS`) as known then.

    ``versions`` is DimDepartment. Empty without departments. With ``changes``: see :meth:`BedForecast.rows`.
    """
    fitted = fit_beds(rows, versions, made_at, zone)
    return pl.DataFrame() if fitted is None else fitted.rows(changes)


def fit_beds(rows: pl.DataFrame, versions: pl.DataFrame, made_at: datetime, zone: str) -> BedForecast | None:
    """The model of the arguments of :func:`forecast_beds`; None without departments."""
    places = Places.of(_known_departments(versions, rows, made_at))
    if places.names.is_empty():
        return None
    now = calendar.hour_of(made_at)
    stays = known_stays(rows, places, made_at)
    since = first_hours(stays, places.departments, now)
    model = beds.fit(stays, places.departments, now, zone, since)
    return BedForecast(
        made_at,
        places,
        targets_of(made_at, zone),
        model,
        stays.only((stays.start <= now) & (stays.end > now)),
        _gender_shares(stays, places.departments.count),
        _widening(model, stays, now, since),
        _visit_shares(rows, places, made_at),
    )


@dataclass(frozen=True)
class BedForecast:
    """The model fitted to what was known at the whole hour ``made_at``, with the patients in bed then."""

    made_at: datetime
    places: Places
    targets: pl.Series
    model: Model
    present: Stays
    shares: Array
    widening: tuple[Array, Array]
    visits: tuple[Array, Array]

    def rows(self, changes: Sequence[Change] = ()) -> pl.DataFrame:
        """Rows of ForecastBeds; with ``changes`` what is expected if they were made.

        The intervals are those of the same model, without any doubt about the changes. Raises ``ValueError`` for a bad
        change.
        """
        now = calendar.hour_of(self.made_at)
        measures = _measures(self.places, changes)
        projection = beds.project(self.model, self.present, now, len(GENDERS), measures=measures if changes else None)
        at = np.array([calendar.hour_of(target) - now - 1 for target in self.targets])
        frames = [
            _of_entities(
                self.places, projection, self.model, self.shares, self.widening, at, self.targets, measures.beds, visits
            )
            for visits in (None, self.visits)
        ]
        horizon = (c("target_at") - c("made_at")).dt.total_hours().cast(pl.Int64)
        return pl.concat(frames).with_columns(made_at=pl.lit(self.made_at)).with_columns(horizon_hours=horizon)


def _measures(places: Places, changes: Sequence[Change]) -> Measures:
    count = places.departments.count
    found = Measures(np.zeros(count, np.int64), np.zeros(count), np.zeros(count, np.int64))
    place_of = {(hospital, name): place for place, hospital, name in places.names.iter_rows()}
    for change in changes:
        place = place_of.get((change.hospital_id, change.department))
        if place is None:
            raise ValueError(f"hospital {change.hospital_id} has no department {change.department}")
        if not 0 <= change.earlier_hours <= beds.MAX_EARLIER_HOURS or change.postponed < 0:
            raise ValueError(
                f"patients leave 0 to {beds.MAX_EARLIER_HOURS} hours earlier, and 0 or more admissions are postponed"
            )
        found.beds[place] += change.beds
        found.postponed[place] += change.postponed
        found.earlier[place] = change.earlier_hours
    return found


def _known_departments(versions: pl.DataFrame, rows: pl.DataFrame, made_at: datetime) -> pl.DataFrame:
    """DimDepartment without departments that are in no list and had no patient before ``made_at``."""
    seen = rows.filter(c("admission_at") <= made_at).select("department_key").unique()
    used = versions.join(seen, on="department_key").select("hospital_id", "department").unique()
    inferred = versions.filter("is_inferred").join(used, on=["hospital_id", "department"], how="semi")
    return pl.concat([versions.filter(~c("is_inferred")), inferred])


def _of_entities(
    places: Places,
    projection: Projection,
    model: Model,
    shares: Array,
    widening: tuple[Array, Array],
    at: NDArray[np.int64],
    targets: pl.Series,
    more_beds: NDArray[np.int64],
    visits: tuple[Array, Array] | None,
) -> pl.DataFrame:
    """Rows of departments, or with ``visits`` (:func:`_visit_shares`) of hospitals (department_key 0)."""
    coming = projection.coming[:, None, :] * shares[:, :, None]
    mean_of_gender = projection.present_by_group + coming
    spread = model.arriving.spread[:, None, None]
    variance_of_gender = projection.doubt_by_group + coming + spread * coming**2
    variance = projection.doubt + projection.coming + spread[:, 0] * projection.coming**2
    mean = np.concatenate([projection.mean[:, None], mean_of_gender], axis=1)
    variance = np.concatenate([variance[:, None], variance_of_gender], axis=1)
    everyone = np.concatenate([np.ones((len(shares), 1)), shares], axis=1)[:, :, None]
    come, gone = projection.arrivals[:, None] * everyone, projection.departures[:, None] * everyone
    staffed, is_headline = _staffed(places, targets)
    staffed = np.where(staffed > 0, np.maximum(staffed + more_beds[:, None], 0.0), staffed)
    if visits is None:
        full = probability_full(projection, variance[:, 0], widening[0], staffed, at)
    else:
        # Patients who only change their department neither come to the hospital nor leave it.
        come, gone = (each * share[:, None, None] for each, share in zip((come, gone), visits, strict=True))
        mean, variance, come, gone = (_summed(each, places) for each in (mean, variance, come, gone))
        chosen = is_headline & (staffed[:, 0] > 0)
        weights = {2: chosen[:, None], 3: chosen[:, None, None]}
        part = Projection(*(each * weights[each.ndim] for each in vars(projection).values()))
        own = part.doubt + part.coming + spread[:, 0] * part.coming**2
        together = Projection(*(_summed(each, places) for each in vars(part).values()))
        full = probability_full(
            together, _summed(own, places), widening[1], _summed(np.where(chosen[:, None], staffed, 0.0), places), at
        )
    bucket = np.searchsorted(BUCKETS, np.minimum(at + 1, BUCKETS[-1]))
    wide = variance[:, :, at] * widening[int(visits is not None)][:, None, bucket]
    stated = mean[:, :, at]
    quantiles = distributions.quantiles(stated, wide)
    count, genders, hours = stated.shape
    frame = pl.DataFrame(
        {
            "place": np.repeat(np.arange(count), genders * hours),
            "gender": np.tile(np.repeat(np.array([ALL, *GENDERS]), hours), count),
            "target_at": pl.concat([targets] * (count * genders)),
            "expected_beds": stated.ravel(),
            **{name: quantiles[..., number].ravel() for number, name in enumerate(QUANTILES)},
            "expected_admissions": come[:, :, at].ravel(),
            "expected_discharges": np.maximum(gone[:, :, at], 0.0).ravel(),
            "probability_full": np.concatenate(
                [full[:, None], np.full((count, genders - 1, hours), np.nan)], axis=1
            ).ravel(),
        }
    ).with_columns(c("probability_full").fill_nan(None), c("place").cast(pl.UInt32))
    if visits is not None:
        hospitals = pl.DataFrame({"place": range(len(places.hospitals)), "hospital_id": places.hospitals}).cast(
            {"place": pl.UInt32}
        )
        return frame.join(hospitals, on="place").with_columns(department_key=pl.lit(0, pl.Int64)).select(_COLUMNS)
    known = places.version_at(targets).select("place", "target_at", "department_key")
    named = frame.join(places.names.select("place", "hospital_id"), on="place")
    return named.join(known, on=["place", "target_at"]).select(_COLUMNS)


_COLUMNS = (
    *("target_at", "hospital_id", "department_key", "gender", "expected_beds"),
    *QUANTILES,
    *("expected_admissions", "expected_discharges", "probability_full"),
)


def _summed(values: Array, places: Places) -> Array:
    """The sums of departments by hospital; the first axis is the department."""
    found = np.zeros((len(places.hospitals), *values.shape[1:]))
    np.add.at(found, places.departments.hospital, values)
    return found


def _staffed(places: Places, targets: pl.Series) -> tuple[Array, NDArray[np.bool_]]:
    """Staffed beds by (place, target), 0 where unstated, and whether a place counts in the headline."""
    known = places.version_at(targets).sort("place", "target_at")
    headline = known["class"].fill_null("inpatient").is_in(["inpatient", "critical_care", "maternity"])
    shape = (places.departments.count, len(targets))
    return (
        known["staffed_beds"].fill_null(0).cast(pl.Float64).to_numpy().reshape(shape),
        headline.to_numpy().reshape(shape)[:, 0],
    )


def _visit_shares(rows: pl.DataFrame, places: Places, made_at: datetime) -> tuple[Array, Array]:
    """Shares of a department's arrivals that start a visit, and of its departures that end one."""
    found = []
    for instant, flag in (("admission_at", "is_visit_start"), ("discharge_at", "is_visit_end")):
        known = rows.filter(c(instant) > made_at - _VISIT_DAYS, c(instant) <= made_at)
        counted = known.join(places.place_of_key(), on="department_key").group_by("place").agg(pl.len(), c(flag).sum())
        total, flagged = np.zeros((2, places.departments.count))
        place = counted["place"].to_numpy()
        total[place], flagged[place] = counted["len"].to_numpy(), counted[flag].to_numpy()
        pooled = (flagged.sum() + 1.0) / (total.sum() + 1.0)
        found.append((flagged + _VISIT_PRIOR * pooled) / (total + _VISIT_PRIOR))
    return found[0], found[1]


def _gender_shares(stays: Stays, places: int) -> Array:
    """Share of each gender in the arrivals of a department; few arrivals borrow from all departments."""
    counted = np.zeros((places, len(GENDERS)))
    np.add.at(counted, (stays.place, stays.group), 1.0)
    together = (counted.sum(axis=0) + 0.25) / (counted.sum() + 1.0)
    shares = counted + _GENDER_PRIOR * together
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _widening(model: Model, stays: Stays, now: int, since: NDArray[np.int64]) -> tuple[Array, Array]:
    """Factors of the variance by (department, bucket of horizon) and by (hospital, bucket).

    The model is applied to past instants, a day apart, and its squared errors are compared with its variances. It was
    fitted to the same days: of a mean of n weeks, errors of a further week have (n + 1) / (n - 1) times the variance.
    """
    departments = model.departments
    begun = int(since.min(initial=now))
    origins = [now - 24 * back for back in range(1, _ORIGINS + 1) if now - 24 * back >= begun + _FIRST_DAYS * 24]
    occupied = _occupied(stays, departments.count, now)
    squares, variances = np.zeros((2, len(BUCKETS))), np.zeros((2, len(BUCKETS)))
    past = Stays(stays.place, stays.group, stays.start, stays.end, np.full_like(stays.planned, OPEN))
    unit: dict[int, Array] = {}
    for back, origin in enumerate(origins, start=1):
        there = past.only((past.start <= origin) & (past.end > origin))
        there = Stays(there.place, there.group, there.start, np.full_like(there.end, OPEN), there.planned)
        projection = beds.project(model, there, origin, len(GENDERS), back, unit)
        own = projection.doubt + projection.coming + model.arriving.spread[:, None] * projection.coming**2
        is_fed = since <= origin - _FIRST_DAYS * 24
        for number, ahead in enumerate(BUCKETS):
            if origin + ahead > now:
                break
            actual = occupied[:, occupied.shape[1] - 1 - (now - origin - ahead)]
            of_places = (actual - projection.mean[:, ahead - 1]) * is_fed, own[:, ahead - 1] * is_fed
            for level, (error, expected) in enumerate(
                (of_places, tuple(_by_hospital(each, departments) for each in of_places))
            ):
                squares[level, number] += (error**2).sum()
                variances[level, number] += expected.sum()
    prior = _ORIGINS_PRIOR * variances / max(len(origins), 1) + 1e-6
    factors = (squares + prior) / (variances + prior) * (1 + 2 / (len(origins) + 2))
    # Few past instants reach the longest horizons: a longer one is at least as uncertain as the one before.
    factors = np.maximum(factors, 0.5)
    weeks = np.maximum((now - since) / calendar.HOURS_OF_WEEK, _FIRST_DAYS / 7)
    of_fit = (weeks + 1) / (weeks - 1)
    of_hospital = np.full(int(departments.hospital.max(initial=0)) + 1, 1.0)
    np.maximum.at(of_hospital, departments.hospital, of_fit)
    return of_fit[:, None] * factors[0], of_hospital[:, None] * factors[1]


def _by_hospital(values: Array, departments: Departments) -> Array:
    return np.asarray(np.bincount(departments.hospital, values), dtype=np.float64)


def _occupied(stays: Stays, places: int, now: int) -> Array:
    """Occupied beds by (place, hour) for the hours up to ``now`` that past instants are compared with."""
    first = now - (_ORIGINS + 1) * 24
    change = np.zeros((places, now - first + 2))
    for instant, sign in ((stays.start, 1.0), (stays.end, -1.0)):
        np.add.at(change, (stays.place, np.clip(instant, first, now + 1) - first), sign)
    return np.cumsum(change, axis=1)[:, : now - first + 1]


def forecast_arrivals(rows: pl.DataFrame, versions: pl.DataFrame, made_at: datetime, zone: str) -> pl.DataFrame:
    """Rows of ForecastArrivals: attendances that arrive within the hour from the target on.

    ``rows`` has :data:`ATTENDANCE_COLUMNS` as known at ``made_at``.
    """
    places = Places.of(versions)
    known = rows.filter(c("arrival_at") <= made_at).join(places.place_of_key(), on="department_key")
    seen = known["place"].unique().sort()
    if seen.is_empty():
        return pl.DataFrame()
    now = calendar.hour_of(made_at)
    first = now - beds.WINDOW_DAYS * 24
    zone_hours = calendar.hours_of_week(first, now + beds.HORIZON_HOURS + 1, zone)
    order = {place: at for at, place in enumerate(seen)}
    place = known["place"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    hour = (known["arrival_at"].dt.epoch("us") // 3_600_000_000).to_numpy() + 1
    model = arrivals.fit(place, hour, np.zeros(len(seen), dtype=np.int64), now, first, zone_hours)
    targets = targets_of(made_at, zone)
    slots = zone_hours[np.array([calendar.hour_of(target) - first for target in targets])]
    mean = model.shape[:, slots] * model.level()[:, None]
    quantiles = distributions.quantiles(mean, mean + model.spread[:, None] * mean**2)
    frame = pl.DataFrame(
        {
            "place": np.repeat(seen.to_numpy(), len(targets)).astype(np.uint32),
            "target_at": pl.concat([targets] * len(seen)),
            "expected": mean.ravel(),
            **{name: quantiles[..., number].ravel() for number, name in enumerate(QUANTILES)},
        }
    )
    named = frame.join(places.names.select("place", "hospital_id"), on="place")
    version = places.version_at(targets).select("place", "target_at", "department_key")
    return named.join(version, on=["place", "target_at"]).select(
        pl.lit(made_at).alias("made_at"),
        "target_at",
        (c("target_at") - made_at).dt.total_hours().cast(pl.Int64).alias("horizon_hours"),
        *("hospital_id", "department_key", "expected"),
        *QUANTILES,
    )
