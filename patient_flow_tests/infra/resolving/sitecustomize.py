"""Makes names below ``.localhost`` resolve to loopback, as RFC 6761 asks and not every machine does.

On the path of the processes that a test starts: storage accounts are told apart by host name.
"""

import socket
import sys
from typing import Any

_system = socket.getaddrinfo


def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
    """``socket.getaddrinfo``, but for names below ``.localhost``."""
    if isinstance(host, str) and host.endswith(".localhost"):
        host = "127.0.0.1"
    return _system(host, *arguments, **options)


if __name__ == "sitecustomize" and "pytest" not in sys.modules:
    socket.getaddrinfo = resolve
