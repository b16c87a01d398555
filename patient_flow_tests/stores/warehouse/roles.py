"""A PostgreSQL warehouse as an administrator leaves it: tables, access script, people and programs with their roles."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from patient_flow.stores.warehouse.scripts import scripts
from patient_flow.stores.warehouse.warehouse import Warehouse

PIPELINE, DASHBOARD = "pipeline", "dashboard"
"""The identities of ``infra/docs/deploy.md``."""


def guard(owner: Warehouse, users: Mapping[str, str]) -> None:
    """Creates what is missing, runs the access script, and gives ``users`` (name → role) their roles."""
    owner.init()
    with owner._engine.begin() as connection:
        connection.exec_driver_sql(scripts("postgresql")["access.sql"])
        for user, role in users.items():
            connection.exec_driver_sql(
                f"DO $$ BEGIN CREATE ROLE {user} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            connection.exec_driver_sql(f"GRANT patient_flow_{role} TO {user}")


def guard_as_deployed(url: str) -> None:
    """As ``infra/docs/deploy.md`` says: the pipeline loads, the dashboard shows all rows."""
    owner = Warehouse(url, "postgresql")
    guard(owner, {PIPELINE: "loader", DASHBOARD: "dashboard"})
    with owner._engine.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO \"ReaderScope\" VALUES ('{DASHBOARD}', NULL, NULL)")
    owner.dispose()


def url_of(user: str, url: str) -> str:
    """``url`` with ``user`` signed in."""
    return sa.make_url(url).set(username=user).render_as_string()
