"""The registrable domain of each of many URLs: example.co.uk of http://www.example.co.uk/a.

courlan asks the public suffix list. Hosts are taken out of all URLs at once, and each host is asked
about once.
"""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc
from courlan import extract_domain

NO_HOST = "(files)"
"""What stands for the host of pages that are files."""

_HOST = r"^[a-z]+://(?:[^/?#@]*@)?(?P<host>[^/?#@]*)"


def domains_of(urls: pa.ChunkedArray) -> pa.DictionaryArray:
    """The domain of each URL; its host, where no public suffix ends it: localhost:8630."""
    found = pc.struct_field(pc.extract_regex(urls, _HOST), "host")
    hosts = pc.fill_null(found, "").combine_chunks().dictionary_encode()
    domains = pa.array([_domain(host) for host in hosts.dictionary.to_pylist()], pa.string())
    distinct = domains.dictionary_encode()  # several hosts may be of one domain
    indices = distinct.indices.take(hosts.indices)
    return pa.DictionaryArray.from_arrays(indices, distinct.dictionary)


@lru_cache(maxsize=1 << 16)
def _domain(host: str) -> str:
    return extract_domain(f"http://{host}/") or host if host else NO_HOST
