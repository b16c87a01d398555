"""Occupied beds by department: who is in bed now and may leave, and who is still to come.

The model has two parts. **Departures**: in each hour a patient leaves with a probability that is the product of a
factor for the time already spent in the department (per department, with weight borrowed from departments of its class)
and a factor for the local hour of the week (per class). A planned departure shifts it. **Arrivals**: an expected number
per local hour of the week, from a profile and the level of the last weeks, with more spread than a Poisson count.

From both follow the mean and the variance of every department at every hour. How far such forecasts were off at past
instants widens the variance, per horizon, for departments and for hospitals separately.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from patient_flow.forecasting import arrivals, calendar
from patient_flow.forecasting.distributions import Array

Ints = NDArray[np.int64]

HORIZON_HOURS = 8 * 24
"""Hours that a forecast looks ahead: seven midnights are never further."""
WINDOW_DAYS = 400
"""Days of history that the model is fitted to."""
OPEN = np.iinfo(np.int64).max // 4
"""End of a stay without an end."""

_EDGES = np.array([0, 2, 4, 6, 9, 12, 18, 24, 36, 48, *(24 * day for day in range(3, 15)), 504, 672, 1080, 2160, OPEN])
_STAY_HALF_LIFE_HOURS = 120 * 24
_BORROWED_DEPARTURES = 10.0
_BORROWED_SLOT = 0.5
_BORROWED_PLANS = 30.0
_ROUNDS = 3
_CHUNK = 100_000
_MAX_STAYS = 250_000
"""Stays that departures are learned from; of more, every n-th is taken."""
_PLAN_EDGES = np.array([-96, -48, -24, -18, -12, -9, -6, -4, -3, -2, -1, 0, 1, 2, 3, 6, 9, 12, 18, 24, 48, 96])
_MAX_PLANS = 20_000
"""Stays with a planned end that its meaning is learned from; of more, every n-th is taken."""
_MAX_PLAN_HOURS = 45 * 24
"""Hours of such a stay that count."""
_BINDING_PLAN = (0.99, 0.02)
"""Probability to be in bed before and after a planned end that ends the stay by itself."""


@dataclass(frozen=True)
class Stays:
    """Stays as known at an instant, one element each. Times are hours since 1970 at which the census counts.

    A stay is counted from ``start`` up to, but not including, ``end`` (:data:`OPEN` without an end; later than now only
    where a plan ends it by itself). ``planned`` is an expected end (:data:`OPEN`: none). ``place`` and ``group`` index
    departments and genders.
    """

    place: Ints
    group: Ints
    start: Ints
    end: Ints
    planned: Ints

    def every(self, step: int) -> Stays:
        """Every ``step``-th of them."""
        return self.only(np.arange(len(self.start)) % step == 0)

    def only(self, chosen: NDArray[np.bool_]) -> Stays:
        """The chosen ones."""
        return Stays(*(each[chosen] for each in (self.place, self.group, self.start, self.end, self.planned)))


@dataclass(frozen=True)
class Departments:
    """``kind`` and ``hospital`` of each department, as indices from 0."""

    kind: Ints
    hospital: Ints

    @property
    def count(self) -> int:
        """Number of departments."""
        return len(self.kind)


@dataclass(frozen=True)
class Model:
    """A fitted model. ``zone_hours`` are the local hours of the week from hour ``first`` on."""

    departments: Departments
    by_age: Array
    by_slot: Array
    arriving: arrivals.Arriving
    by_plan: Array
    first: int
    zone_hours: Ints

    def slots(self, first: int, count: int) -> Ints:
        """Local hours of the week of ``count`` hours from ``first`` on."""
        return self.zone_hours[first - self.first : first - self.first + count]


@dataclass(frozen=True)
class Projection:
    """Expectations for hours 1 to :data:`HORIZON_HOURS` ahead; the first axis is the department.

    ``present`` is the part of the mean, and ``doubt`` that of the variance, that patients now in bed contribute;
    ``coming`` is the mean of patients still to come. ``arrivals`` and ``departures`` are expected numbers up to the
    hour. ``present_by_group`` has the genders as second axis.
    """

    present: Array
    doubt: Array
    coming: Array
    arrivals: Array
    departures: Array
    present_by_group: Array
    doubt_by_group: Array

    @property
    def mean(self) -> Array:
        """Expected occupied beds."""
        return self.present + self.coming


def fit(stays: Stays, departments: Departments, now: int, zone: str, since: Ints | None = None) -> Model:
    """The model of ``stays`` as known at the hour ``now``; departments without a stay get what their kind has.

    ``since`` is the first hour of each department's feed (default: of its first stay). Who was in bed then is known
    only because of having stayed that long, and who had left is unknown: hours before it count for nothing.
    """
    first = now - WINDOW_DAYS * 24
    begun = np.full(departments.count, first) if since is None else np.maximum(since, first)
    stays = stays.only((stays.start <= now) & (stays.end > begun[stays.place]) & (stays.end > stays.start))
    zone_hours = calendar.hours_of_week(first, now + HORIZON_HOURS + 1, zone)
    learned = stays.every(len(stays.start) // _MAX_STAYS + 1)
    by_age, by_slot = _departure_factors(learned, departments, now, first, zone_hours, begun)
    came = stays.start > begun[stays.place]
    arriving = arrivals.fit(stays.place[came], stays.start[came], departments.kind, now, first, zone_hours)
    by_plan = _plan_factors(learned, departments, now, first, zone_hours, begun, by_age, by_slot)
    return Model(departments, by_age, by_slot, arriving, by_plan, first, zone_hours)


@dataclass(frozen=True)
class Measures:
    """What may be done about full beds, one element per department.

    ``postponed`` admissions do not come within the next :data:`POSTPONED_HOURS`; patients leave ``earlier`` hours
    sooner; ``beds`` are added to the staffed ones.
    """

    beds: Ints
    postponed: Array
    earlier: Ints


POSTPONED_HOURS = 72
MAX_EARLIER_HOURS = 12
"""So far may departures move: the hours after the last forecast one must suffice."""


def project(
    model: Model,
    stays: Stays,
    now: int,
    genders: int,
    days_ago: int = 0,
    unit: dict[int, Array] | None = None,
    measures: Measures | None = None,
) -> Projection:
    """Expectations from the hour ``now`` on for the patients of ``stays`` who are in bed then.

    The model may be fitted ``days_ago`` days later than ``now``: the level of arrivals is then that of ``now``.
    ``unit`` keeps what calls at the same hour of the week have in common. With ``measures``, departures and arrivals
    change; departments without a measure keep their expectations to the bit.
    """
    places = model.departments.count
    inside = stays.only((stays.start <= now) & (stays.end > now))
    staying = _staying(model, inside, now)
    if measures is not None:
        staying = _earlier(staying, measures.earlier[inside.place])
    shape = (places, genders, HORIZON_HOURS)
    present, doubt = np.zeros(shape), np.zeros(shape)
    np.add.at(present, (inside.place, inside.group), staying)
    np.add.at(doubt, (inside.place, inside.group), staying * (1 - staying))
    slots = model.slots(now, HORIZON_HOURS)
    level = model.arriving.level(days_ago)[:, None]
    shape_ahead = model.arriving.shape[:, slots]
    unit, week = {} if unit is None else unit, now % calendar.HOURS_OF_WEEK
    if week not in unit:
        unit[week] = _coming(model, shape_ahead, now)
    coming, rates = unit[week] * level, shape_ahead * level
    if measures is not None:
        for place in np.flatnonzero((measures.postponed > 0) | (measures.earlier > 0)):
            rates[place] *= _kept(rates[place], float(measures.postponed[place]))
            coming[place] = _coming(model, rates, now, int(place), int(measures.earlier[place]))
    expected = np.cumsum(rates, axis=1)
    total = present.sum(axis=1)
    here = np.bincount(inside.place, minlength=places)[:, None]
    return Projection(total, doubt.sum(axis=1), coming, expected, here + expected - total - coming, present, doubt)


def _departure_factors(
    stays: Stays, departments: Departments, now: int, first: int, zone_hours: Ints, begun: Ints
) -> tuple[Array, Array]:
    """Factors by (department, time in department) and by (kind, hour of the week)."""
    bins, kinds = len(_EDGES) - 1, int(departments.kind.max(initial=0)) + 1
    # By the start: by the end, early hours of long stays would outweigh the departures that fell into them.
    weight = np.exp2(-(now - stays.start) / _STAY_HALF_LIFE_HOURS)
    has_left = stays.end <= now
    last = np.where(has_left, stays.end - 1, now - 1)
    age = np.searchsorted(_EDGES, last - stays.start, side="right") - 1
    left = (
        np.bincount((stays.place * bins + age)[has_left], weight[has_left], minlength=departments.count * bins)
        .reshape(-1, bins)
        .astype(float)
    )
    kind = departments.kind[stays.place]
    left_in_slot = np.bincount(
        (kind * calendar.HOURS_OF_WEEK + zone_hours[np.clip(last - first, 0, None)])[has_left],
        weight[has_left],
        minlength=kinds * calendar.HOURS_OF_WEEK,
    ).reshape(kinds, -1)
    by_slot = np.ones((kinds, calendar.HOURS_OF_WEEK))
    hours = now - first
    by_age = np.zeros((departments.count, bins))
    for _ in range(_ROUNDS):
        passed = np.concatenate([np.zeros((kinds, 1)), np.cumsum(by_slot[:, zone_hours[:hours]], axis=1)], axis=1)
        exposed = np.zeros((departments.count, bins))
        for piece, low, high in _pieces(stays, now, first, begun):
            exposure = passed[kind[piece][:, None], high] - passed[kind[piece][:, None], low]
            np.add.at(exposed, stays.place[piece], exposure * weight[piece][:, None])
        by_age = _borrowed(left, exposed, departments.kind, kinds)
        change = np.zeros((kinds, hours + 1))
        for piece, low, high in _pieces(stays, now, first, begun):
            factor = by_age[stays.place[piece]] * weight[piece][:, None]
            np.add.at(change, (np.broadcast_to(kind[piece][:, None], low.shape), low), factor)
            np.add.at(change, (np.broadcast_to(kind[piece][:, None], low.shape), high), -factor)
        at_risk = np.cumsum(change, axis=1)[:, :hours]
        expected = np.stack([np.bincount(zone_hours[:hours], row, calendar.HOURS_OF_WEEK) for row in at_risk])
        by_slot = (left_in_slot + _BORROWED_SLOT) / (expected + _BORROWED_SLOT)
    return by_age, by_slot


def _pieces(stays: Stays, now: int, first: int, begun: Ints) -> Iterator[tuple[slice, Ints, Ints]]:
    """Chunks of stays, with the hours (from ``first``) at which each enters and leaves each class of time."""
    for begin in range(0, len(stays.start), _CHUNK):
        piece = slice(begin, begin + _CHUNK)
        start = stays.start[piece][:, None]
        end = np.minimum(stays.end[piece], now)[:, None]
        low = np.clip(start + _EDGES[:-1], begun[stays.place[piece]][:, None], end)
        high = np.clip(np.minimum(start + _EDGES[1:], end), low, None)
        low = np.minimum(low, high)
        yield piece, np.clip(low - first, 0, now - first), np.clip(high - first, 0, now - first)


def _borrowed(left: Array, exposed: Array, kind: Ints, kinds: int) -> Array:
    """Departures per exposure of each department: it borrows from its kind, and a kind from all."""
    together = left.sum(axis=0) + 1e-3, exposed.sum(axis=0) + 1.0
    overall = together[0] / together[1]
    left_of_kind, exposed_of_kind = (
        np.stack([each[kind == number].sum(axis=0) for number in range(kinds)]) for each in (left, exposed)
    )
    of_kind = (left_of_kind + _BORROWED_DEPARTURES) / (exposed_of_kind + _BORROWED_DEPARTURES / overall)
    prior = of_kind[kind]
    return np.asarray((left + _BORROWED_DEPARTURES) / (exposed + _BORROWED_DEPARTURES / prior))


def _staying(model: Model, inside: Stays, now: int) -> Array:
    """Probability that each patient now in bed is still there 1, 2, … hours ahead."""
    ahead = np.arange(HORIZON_HOURS)
    age = np.searchsorted(_EDGES, (now - inside.start)[:, None] + ahead, side="right") - 1
    slots = model.slots(now, HORIZON_HOURS)
    kind = model.departments.kind[inside.place]
    leaving = model.by_age[inside.place[:, None], age] * model.by_slot[kind[:, None], slots]
    binding = inside.end < OPEN
    planned = ~binding & (inside.planned < OPEN)
    if planned.any():
        leaving[planned] *= model.by_plan[_past_plan(now + ahead - inside.planned[planned][:, None])]
    staying = np.cumprod(1 - np.clip(leaving, 0.0, 0.98), axis=1)
    before, after = _BINDING_PLAN
    staying[binding] = np.where(now + 1 + ahead < inside.end[binding][:, None], before, after)
    return np.asarray(staying)


def _plan_factors(
    stays: Stays,
    departments: Departments,
    now: int,
    first: int,
    zone_hours: Ints,
    begun: Ints,
    by_age: Array,
    by_slot: Array,
) -> Array:
    """Departures in relation to the other factors, by the hours that a planned end lies ahead or back."""
    chosen = stays.only((stays.planned < OPEN) & (stays.start < stays.planned) & (stays.start < now))
    chosen = chosen.every(len(chosen.start) // _MAX_PLANS + 1)
    begins = np.maximum(chosen.start, begun[chosen.place])
    ends = np.minimum(np.minimum(chosen.end, now), begins + _MAX_PLAN_HOURS)
    count = np.maximum(ends - begins, 0)
    stay = np.repeat(np.arange(len(count)), count)
    hour = np.arange(len(stay)) - np.repeat(np.cumsum(count) - count, count) + begins[stay]
    age = np.searchsorted(_EDGES, hour - chosen.start[stay], side="right") - 1
    place = chosen.place[stay]
    expected = by_age[place, age] * by_slot[departments.kind[place], zone_hours[hour - first]]
    bucket = _past_plan(hour - chosen.planned[stay])
    buckets = len(_PLAN_EDGES) + 1
    at_risk = np.bincount(bucket, np.minimum(expected, 0.98), minlength=buckets)
    left = chosen.end == ends
    gone = np.bincount(_past_plan(ends[left] - 1 - chosen.planned[left]), minlength=buckets)
    return np.asarray((gone + _BORROWED_PLANS) / (at_risk + _BORROWED_PLANS))


def _past_plan(hours: Ints) -> Ints:
    """Class of so many hours after a planned end (before it: negative)."""
    return np.searchsorted(_PLAN_EDGES, hours, side="right")


def _earlier(staying: Array, hours: Ints) -> Array:
    """Probabilities to be in bed 1, 2, … hours ahead of patients who leave ``hours`` sooner; none comes back."""
    shifted = np.minimum(np.arange(staying.shape[1]) + hours[:, None], staying.shape[1] - 1)
    return np.asarray(np.take_along_axis(staying, shifted, axis=1))


def _kept(rates: Array, postponed: float) -> Array:
    """Share of the arrivals of each hour that still come."""
    expected = float(rates[:POSTPONED_HOURS].sum())
    kept = np.ones_like(rates)
    kept[:POSTPONED_HOURS] = 1 - min(postponed / expected, 1.0) if expected > 0 else 1.0
    return kept


def _coming(model: Model, rates: Array, now: int, place: int | None = None, earlier: int = 0) -> Array:
    """Expected patients in bed 1, 2, … hours ahead who come after now; with ``place`` those of this department.

    They leave ``earlier`` hours sooner than patients usually do.
    """
    slots = model.slots(now, HORIZON_HOURS)
    ages = np.arange(HORIZON_HOURS)
    factors = model.by_age[:, np.searchsorted(_EDGES, ages, side="right") - 1]
    by_slot = model.by_slot[model.departments.kind][:, slots]
    if place is not None:
        factors, by_slot, rates = factors[[place]], by_slot[[place]], rates[[place]]
    found = np.zeros_like(rates)
    for arrival in range(HORIZON_HOURS):
        # Counted from the end of the hour of arrival on; the first hour at risk is the next one.
        remaining = HORIZON_HOURS - arrival - 1
        leaving = factors[:, :remaining] * by_slot[:, arrival + 1 :]
        staying = np.cumprod(1 - np.clip(leaving, 0.0, 0.98), axis=1)
        if earlier:
            there = np.concatenate([np.ones((len(rates), 1)), staying], axis=1)
            found[:, arrival:] += rates[:, [arrival]] * _earlier(there, np.full(len(rates), earlier))
        else:
            found[:, arrival] += rates[:, arrival]
            found[:, arrival + 1 :] += rates[:, [arrival]] * staying
    return found if place is None else np.asarray(found[0])
