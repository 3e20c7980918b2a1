"""Which addresses are private: pages of the web must not lead a crawl into its own network."""

from __future__ import annotations

import ipaddress


def is_private(address: str) -> bool:
    """Whether an IP address is this machine's or its network's (loopback, link-local, private)."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # no IP address at all: a Unix socket, say
        return True
    mapped = getattr(found, "ipv4_mapped", None) or getattr(found, "sixtofour", None)
    return not (mapped or found).is_global or found.is_multicast


def is_local_name(host: str) -> bool:
    """Whether `host` means this machine or its network by its spelling alone."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
