"""Foreign readers: what Power BI or any ODBC client sees, through a real ODBC driver."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from patient_flow.contracts.views import VIEWS
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.required import require
from patient_flow_tests.stores.warehouse.builders import everything, hospital

INSTALL = "apt-get install -y unixodbc odbc-postgresql"
DRIVER = "PostgreSQL Unicode"
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


@pytest.fixture
def odbc(database: str) -> Iterator[Any]:
    """An ODBC connection to a loaded warehouse on PostgreSQL."""
    try:
        import pyodbc
    except ImportError:
        require(None, "the ODBC driver manager", INSTALL)
        raise
    require(DRIVER in pyodbc.drivers(), "PostgreSQL's ODBC driver", INSTALL)
    warehouse = Warehouse(database, "postgresql")
    warehouse.init()
    frames = hospital(NOW - timedelta(days=5), NOW, visits=40).frames()
    warehouse.load(everything(frames), newest_event_at=NOW, loaded_at=NOW, run_id="test")
    warehouse.dispose()
    url = sa.make_url(database)
    connection = pyodbc.connect(
        f"DRIVER={{{DRIVER}}};SERVER={url.host};PORT={url.port};DATABASE={url.database};UID={url.username}"
    )
    yield connection
    connection.close()


def test_an_odbc_client_reads_every_view_in_the_declared_columns(odbc: Any) -> None:
    for view in VIEWS:
        cursor = odbc.execute(f'SELECT * FROM "{view.name}"')
        assert [column[0] for column in cursor.description] == [column.name for column in view.columns]
        # five days hold no stay of seven nights, and judge no forecast
        assert (cursor.fetchone() is None) == (view.name in ("LongStays", "BedsExpected")), view.name


def test_an_odbc_client_gets_numbers_dates_and_instants_as_such(odbc: Any) -> None:
    row = odbc.execute('SELECT date, staffed_beds, occupancy_pct, hour_start_at FROM "BedOccupancyHourly"').fetchone()
    assert (row.staffed_beds, type(row.occupancy_pct)) == (int(row.staffed_beds), float)
    assert isinstance(row.hour_start_at, datetime)
    assert str(row.date).startswith("20")
