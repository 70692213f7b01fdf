"""Whether a service can be reached at all, asked before libraries that try again for a minute."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

CONNECT_S = 10.0
_PORTS = {"http": 80, "https": 443}


def unreachable(address: str) -> str | None:
    """Why no connection to the host of `address` can be made; None where one can, or a proxy would be asked for it."""
    parts = urlsplit(address)
    proxies = getproxies()
    if parts.hostname is None or parts.scheme not in _PORTS or parts.scheme in proxies or "all" in proxies:
        return None
    try:
        socket.create_connection((parts.hostname, parts.port or _PORTS[parts.scheme]), timeout=CONNECT_S).close()
    except OSError as error:
        return f"no connection to {parts.hostname}: {error.strerror or error}"
    return None
