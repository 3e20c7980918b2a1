"""Which hosts are private: pages of the web must not lead a crawl into its own network."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit


class Addresses:
    """Looks every host up once."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._private: dict[str, bool] = {}

    async def refuses(self, url: str) -> bool:
        """Whether the host of `url` has an address that this crawl may not ask."""
        return not self._allow_private and await self._is_private(urlsplit(url).hostname or "")

    async def _is_private(self, host: str) -> bool:
        if host not in self._private:
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (socket.gaierror, UnicodeError):
                return False  # the request itself will say that there is no such host
            addresses = (ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found)
            self._private[host] = any(not address.is_global for address in addresses)
        return self._private[host]


def is_local_name(host: str) -> bool:
    """Whether `host` means this machine or its network by its spelling alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
