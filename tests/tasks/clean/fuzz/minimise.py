"""The smallest body that still shows a failure.

Source: Zeller, "Simplifying and Isolating Failure-Inducing Input" (ddmin), IEEE TSE 28:2, 2002.
"""

from __future__ import annotations

import time
from collections.abc import Callable


def minimised(body: bytes, fails: Callable[[bytes], bool], seconds: float = 60) -> bytes:
    """Cut pieces out, the large ones first, as long as it `fails`, for so long at most."""
    end = time.monotonic() + seconds
    size = len(body) // 2
    while size:
        start = 0
        while start < len(body):
            if time.monotonic() > end:
                return body
            shorter = body[:start] + body[start + size :]
            if fails(shorter):
                body = shorter
            else:
                start += size
        size //= 2
    return body
