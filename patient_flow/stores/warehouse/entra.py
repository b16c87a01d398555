"""Signing in to SQL Server, Synapse and Fabric with Entra ID: an access token instead of a password.

The token comes from ``DefaultAzureCredential``: a managed identity in Azure, ``az login`` on a workstation.
"""

from __future__ import annotations

import struct
from typing import Any

import sqlalchemy as sa

from patient_flow.stores.warehouse.connection import readable
from patient_flow.stores.warehouse.errors import WarehouseUnavailable

SQL_COPT_SS_ACCESS_TOKEN = 1256
SCOPE = "https://database.windows.net/.default"
_TRUSTED = ";Trusted_Connection=Yes"


def is_wanted(url: sa.URL) -> bool:
    """True when ``url`` names neither a login (``//@HOST`` is an empty one) nor another way to sign in."""
    options = {name.lower() for name in url.query}
    return not url.username and not options & {"authentication", "trusted_connection", "odbc_connect"}


def sign_in(engine: sa.Engine) -> None:
    """Adds a token to every new connection of ``engine``; azure-identity renews it before it expires.

    Connecting raises :class:`WarehouseUnavailable` without a token.
    """
    from azure.core.exceptions import AzureError
    from azure.identity import DefaultAzureCredential  # imported only where it is needed

    credential = DefaultAzureCredential()

    @sa.event.listens_for(engine, "do_connect")
    def _carry_token(_dialect: object, _record: object, arguments: list[str], options: dict[str, Any]) -> None:
        arguments[0] = arguments[0].replace(_TRUSTED, "")
        try:
            token = credential.get_token(SCOPE).token
        except AzureError as error:
            raise WarehouseUnavailable(
                "Entra ID gave no token for the warehouse (sign in with `az login`; in Azure, give the container its "
                f"managed identity): {readable(error)}"
            ) from error
        options["attrs_before"] = {SQL_COPT_SS_ACCESS_TOKEN: packed(token)}


def packed(token: str) -> bytes:
    """``token`` in the ODBC driver's format: its length, then UTF-16."""
    encoded = token.encode("utf-16-le")
    return struct.pack(f"<I{len(encoded)}s", len(encoded), encoded)
