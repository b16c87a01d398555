"""The services that every page of the dashboard is made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from starlette.requests import Request as HTTPRequest

from patient_flow.dashboard.access import SignIn, Viewer
from patient_flow.dashboard.access_log import Recorder
from patient_flow.dashboard.pages import Request
from patient_flow.dashboard.snapshot import Snapshots
from patient_flow.stores.warehouse.warehouse import Warehouse


@dataclass(frozen=True)
class PageServices:
    """One warehouse, its snapshots, the access log, the sign-in and the clock."""

    warehouse: Warehouse
    zone: ZoneInfo
    clock: Callable[[], datetime]
    snapshots: Snapshots
    recorder: Recorder
    sign_in: SignIn

    def viewer(self, http: HTTPRequest) -> Viewer:
        """The reader. Raises ``Refused`` when the sign-in does not know them."""
        return self.sign_in.viewer(http.headers, http.client.host if http.client else "")

    def request(self, http: HTTPRequest) -> Request:
        """The selection, the reader, the language and the time of a request. Raises ``Refused``."""
        return Request.of(http.query_params, http.headers.get("Accept-Language", ""), self.viewer(http), self.clock())

    def date_of(self, moment: datetime) -> date:
        """The local date of ``moment``."""
        return moment.astimezone(self.zone).date()
