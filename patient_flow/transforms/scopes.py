"""The scopes in which numbers of visits and patients are unique (flow F2).

A number is known together with its scope: who assigned it, the hospital, the whole network (an empty scope), or a text
that sources which share numbers have in common. Where no policy is set the assigner counts if one is stated; else a
visit number belongs to its hospital and a patient number to the network.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl

from patient_flow.transforms.keys import SEPARATOR

POLICIES = ("patient_scope", "visit_scope")
"""Columns with the policy that a mapping sets, null where it sets none."""
DECIDING = (*POLICIES, "patient_assigner", "visit_assigner", "merged_patient_assigner")
"""Columns that decide about scopes, and that few senders state."""
_NETWORK, _HOSPITAL = "", "hospital"
KINDS = ("hospital", "assigner", "shared")
"""Kinds of scopes that have a name."""

c = pl.col


def resolved(absent: Collection[str] = ()) -> dict[str, pl.Expr]:
    """The columns ``patient_scope``, ``visit_scope`` and ``merged_patient_scope``: each the scope itself, as text.

    Those of :data:`DECIDING` that are ``absent`` (null in every row) are not looked at.
    """
    hospital, network = _named(_HOSPITAL, c("hospital_id")), pl.lit(_NETWORK)
    return {
        "visit_scope": _scope("visit_scope", ("visit_assigner",), hospital, absent),
        "patient_scope": _scope("patient_scope", ("patient_assigner",), network, absent),
        "merged_patient_scope": _scope(
            "patient_scope", ("merged_patient_assigner", "patient_assigner"), network, absent
        ),
    }


def scoped(number: str, scope: str) -> pl.Expr:
    """The number in column ``number`` with its scope before it; alone where it is unique in the network."""
    return (
        pl.when(c(scope) == _NETWORK)
        .then(number)
        .otherwise(pl.concat_str([c(scope), c(number)], separator=SEPARATOR))
        .alias(number)
    )


def is_of_hospital(number: str) -> pl.Expr:
    """True where ``number``, as :func:`scoped` writes it, is in its hospital's scope."""
    return c(number).str.starts_with(_HOSPITAL + SEPARATOR)


def as_of_hospital(number: str) -> pl.Expr:
    """``number`` as :func:`scoped` writes it in its hospital's scope; null where it has that form already."""
    elsewhere = pl.when(~is_of_hospital(number)).then(number)
    plain = elsewhere.str.extract(rf"([^{SEPARATOR}]*)$")
    return pl.concat_str([_named(_HOSPITAL, c("hospital_id")), plain], separator=SEPARATOR)


def plain(text: str) -> str:
    """The number in ``text``, as :func:`scoped` wrote it, without its scope."""
    return text.rpartition(SEPARATOR)[2]


def describe(text: str) -> str:
    """The scope in ``text`` as operators write it: ``network``, ``hospital=3``, ``assigner=HIS`` or ``shared=…``."""
    kind, _, name = text.rpartition(SEPARATOR)[0].partition(SEPARATOR)
    return f"{kind}={name}" if kind else "network"


def is_named(text: str, name: str) -> bool:
    """True when ``name`` (as in :func:`describe`, or without the kind) is the scope in ``text``."""
    return name in (full := describe(text), full.partition("=")[2])


def is_scope(name: str) -> bool:
    """True where ``name`` is a scope as in :func:`describe`, or the name of an assigner alone."""
    kind, is_kind, value = name.partition("=")
    return bool(value.strip()) and kind in KINDS if is_kind else bool(name.strip())


def of_name(name: str, number: str) -> str:
    """``number`` under the scope that operators write as ``name``; one without a kind is an assigner's."""
    kind, is_kind, value = name.partition("=")
    if name == "network":
        return number
    return SEPARATOR.join((kind, value, number) if is_kind else ("assigner", name, number))


def _scope(policy: str, assigners: Sequence[str], default: pl.Expr, absent: Collection[str]) -> pl.Expr:
    stated = [name for name in assigners if name not in absent]
    usual = pl.coalesce(_named("assigner", pl.coalesce(stated)), default) if stated else default
    if policy in absent:
        return usual
    return (
        pl.when(c(policy).is_null() | (c(policy) == "assigner"))
        .then(usual)
        .when(c(policy) == "hospital")
        .then(_named(_HOSPITAL, c("hospital_id")))
        .when(c(policy) == "network")
        .then(pl.lit(_NETWORK))
        .otherwise(_named("shared", c(policy)))
    )


def _named(kind: str, scope: pl.Expr) -> pl.Expr:
    """A scope of one kind: the hospital 3 is another scope than the assigner 3."""
    return pl.concat_str([pl.lit(kind), scope], separator=SEPARATOR)
