"""Pieces of texts that stand in several places: lines, paragraphs, runs of words or of bytes.

A text is a row of units (lines, words, bytes), and a piece a run of so many of them. Of each shard,
scratch has the bytes of its texts with the places of their units, mapped when they are asked for,
and the keys of its pieces, sorted, in files of some millions.

The places of a piece are put in the order of the keep policy: the first is in the document that is
kept before the others, and nearest to its beginning. What is found by keys is a candidate; before
anything is cut, it is held against the first place byte for byte, so that no text goes for a
collision of keys. A piece that has another one's key, and comes behind it, stays whole wherever it
stands, for none of its places is known to be kept: of ten billion pieces, three. (In how many
documents a piece stands is counted by keys.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import xxhash

from storage.tensors import map_tensors, write_tensors
from tasks.dedup.documents import Documents, numbered
from tasks.similarity.shingles import Hashes, Shingles, Texts, alphabet

if TYPE_CHECKING:
    from tasks.dedup.methods import TextMethod  # which name rules

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Unit = Literal["lines", "paragraphs", "words", "bytes"]

KEY_BITS = np.uint64(2**64 - 1)
"""Which bits of a key are looked at: tests take most away, so that keys collide."""

_NONE = np.empty(0, np.int64)

# Keys with their places that are sorted at once, when a shard is gone over.
_SORTED_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Units:
    """Texts and where the units of each begin and end in their bytes.

    Those of text d are `bounds[d]:bounds[d + 1]`; `offsets` say where texts begin.
    """

    data: npt.NDArray[np.uint8]
    offsets: Places
    starts: Places
    ends: Places
    bounds: Places

    @classmethod
    def of(cls, texts: Texts, unit: Unit) -> Units:
        from tasks.dedup.compiled import pieces

        data, offsets = texts.data, texts.offsets
        size = int(offsets[-1] - offsets[0])
        if unit == "bytes":
            places = np.arange(offsets[0], offsets[-1])
            return cls(data, offsets, places, places + 1, offsets - offsets[0])
        feeds = np.count_nonzero(data[offsets[0] : offsets[-1]] == ord("\n"))
        room = len(texts) + (size // 2 if unit == "words" else int(feeds))
        starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
        bounds = np.empty(len(texts) + 1, np.int64)
        if unit == "words":
            codes = alphabet().codes
            num = pieces.split_words(data, offsets, codes, starts, ends, bounds)
        else:
            num = pieces.split_lines(data, offsets, unit == "paragraphs", starts, ends, bounds)
        return cls(data, offsets, starts[:num], ends[:num], bounds)

    @classmethod
    def read(cls, path: Path, unit: Unit) -> Units:
        """Those of a shard, mapped."""
        found = map_tensors(path)[0]
        if unit == "bytes":
            return cls.of(Texts(np.asarray(found["data"]), np.asarray(found["offsets"])), unit)
        names = ("data", "offsets", "starts", "ends", "bounds")
        return cls(*(np.asarray(found[name]) for name in names))


def host_of(url: str) -> str:
    """The host of a URL, without www."""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def survey_shard(documents: Path, method: TextMethod, folder: Path) -> None:
    """Write the texts of one file, and the keys of their pieces: sets of keys, one for each rule.

    The folder lies in scratch; `survey.safetensors` is written last.
    """
    if (folder / "survey.safetensors").exists():
        return
    table = Documents.of_file(documents, Shingles())
    data, offsets = _gather(table.texts())
    units = Units.of(Texts(data, offsets), method.unit)
    hosts = [xxhash.xxh3_64_intdigest(host_of(url).encode()) for url in table.strings("url")]
    domains = np.array(hosts, np.uint64)
    tensors: dict[str, npt.NDArray[Any]] = {"data": data, "offsets": offsets}
    if method.unit != "bytes":
        tensors |= {"starts": units.starts, "ends": units.ends, "bounds": units.bounds}
    write_tensors(folder / "texts.safetensors", tensors, {})
    sizes = _write_keys(units, method, domains, folder)
    counts = {"bounds": units.bounds, "domains": domains, "sizes": np.array(sizes, np.int64)}
    write_tensors(folder / "survey.safetensors", counts, {})


def _gather(chunks: Iterator[Texts]) -> tuple[npt.NDArray[np.uint8], Places]:
    pieces, ends, total = [np.empty(0, np.uint8)], [np.zeros(1, np.int64)], 0
    for texts in chunks:
        first, last = texts.offsets[0], texts.offsets[-1]
        pieces.append(texts.data[first:last])
        ends.append(texts.offsets[1:] - first + total)
        total += int(last - first)
    return np.concatenate(pieces), np.concatenate(ends)


def _write_keys(units: Units, method: TextMethod, domains: Hashes, folder: Path) -> list[int]:
    """Files of sorted keys with the units that they begin with; returns how many there are for
    each rule. Of a rule that is by domain, they differ from host to host."""
    from tasks.dedup.compiled import pieces

    rules, width = method.rules(), method.width
    sizes, num = [0] * len(rules), units.bounds.size - 1
    cuts = np.flatnonzero(np.diff(units.bounds // _SORTED_AT_ONCE, prepend=-1))
    edges = np.append(cuts[cuts < num], num).tolist()
    for run, (first, last) in enumerate(pairwise(edges)):
        begin, end = units.bounds[first], units.bounds[last]
        hashes, lengths = np.empty(end - begin, np.uint64), np.empty(end - begin, np.int64)
        pieces.hash_units(
            units.data, units.starts[begin:end], units.ends[begin:end], hashes, lengths
        )
        keys, places = np.empty(end - begin, np.uint64), np.empty(end - begin, np.int64)
        bounds = units.bounds[first : last + 1] - begin
        found = pieces.hash_windows(hashes, bounds, width, keys, places)
        keys, places = keys[:found], places[:found]
        if width == 1:
            long = lengths[places] >= method.min_characters
            keys, places = keys[long], places[long]
        owners = np.searchsorted(units.bounds, places + begin, "right") - 1
        for number, rule in enumerate(rules):
            own = (keys ^ domains[owners] if rule.by_domain else keys) & KEY_BITS
            order = np.argsort(own, kind="stable")
            tensors = {"keys": own[order], "units": places[order] + begin}
            write_tensors(folder / f"keys-{number}-{run:05d}.safetensors", tensors, {})
            sizes[number] += keys.size
    return sizes


@dataclass(frozen=True)
class Survey:
    """What is known of all shards' pieces: units are numbered through the shards."""

    folders: tuple[Path, ...]
    firsts: Places
    first_documents: Places

    @classmethod
    def read(cls, folders: Sequence[Path]) -> Survey:
        found = [map_tensors(folder / "survey.safetensors")[0] for folder in folders]
        units = [int(one["bounds"][-1]) for one in found]
        documents = [one["bounds"].size - 1 for one in found]
        return cls(tuple(folders), numbered(units), numbered(documents))

    def num_pieces(self) -> int:
        """Of all shards, by the rule that has most."""
        sizes = [map_tensors(f / "survey.safetensors")[0]["sizes"] for f in self.folders]
        return int(np.sum(sizes, axis=0).max()) if sizes else 0

    def part(self, rule: int, part: int, num_parts: int) -> tuple[Hashes, Places]:
        """A rule's keys of one range, and the units that their pieces begin with."""
        low = (int(KEY_BITS) + 1) * part // num_parts
        high = (int(KEY_BITS) + 1) * (part + 1) // num_parts - 1
        keys, units = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for folder, first in zip(self.folders, self.firsts, strict=False):
            for path in sorted(folder.glob(f"keys-{rule}-*.safetensors")):
                found = map_tensors(path)[0]
                begin = np.searchsorted(found["keys"], np.uint64(low))
                end = np.searchsorted(found["keys"], np.uint64(high), "right")
                keys.append(found["keys"][begin:end])
                units.append(found["units"][begin:end] + first)
        return np.concatenate(keys), np.concatenate(units)

    def documents_of(self, units: Places) -> Places:
        """The number of each unit's document, through all shards."""
        shards = np.searchsorted(self.firsts, units, "right") - 1
        found = np.empty(units.size, np.int64)
        for shard in np.unique(shards).tolist():
            bounds = map_tensors(self.folders[shard] / "survey.safetensors")[0]["bounds"]
            own = shards == shard
            rows = np.searchsorted(bounds, units[own] - self.firsts[shard], "right") - 1
            found[own] = rows + self.first_documents[shard]
        return found

    def num_in_domain(self) -> Places:
        """For each document, how many there are of its host."""
        all_hosts = [map_tensors(f / "survey.safetensors")[0]["domains"] for f in self.folders]
        hosts = np.concatenate([np.empty(0, np.uint64), *all_hosts])
        _, of_each, counts = np.unique(hosts, return_inverse=True, return_counts=True)
        return np.asarray(counts[of_each], np.int64)


@dataclass(frozen=True)
class Rule:
    """From when on what stands in two places is a repeat: documents that have it, and their share
    (0-1) of all documents or, where it is `by_domain`, of those of the host."""

    by_domain: bool
    min_documents: int
    min_share: float


@dataclass(frozen=True)
class Repeats:
    """Pieces by the unit that they begin with, ascending; the unit where each stands first, itself
    for the one that is there; and how many documents have it."""

    units: Places
    firsts: Places
    counts: Places

    @classmethod
    def joined(cls, parts: Sequence[Repeats]) -> Repeats:
        """Several as one; of those at one place, the first."""
        units = np.concatenate([_NONE, *(part.units for part in parts)])
        firsts = np.concatenate([_NONE, *(part.firsts for part in parts)])
        counts = np.concatenate([_NONE, *(part.counts for part in parts)])
        _, chosen = np.unique(units, return_index=True)
        return cls(units[chosen], firsts[chosen], counts[chosen])

    def take(self, chosen: Flags | Places) -> Repeats:
        return Repeats(self.units[chosen], self.firsts[chosen], self.counts[chosen])

    def write(self, path: Path) -> None:
        tensors = {"units": self.units, "firsts": self.firsts, "counts": self.counts}
        write_tensors(path, tensors, {})

    @classmethod
    def read(cls, path: Path, begin: int, end: int) -> Repeats:
        """Those of a file that begin with units from `begin` to before `end`."""
        found = map_tensors(path)[0]
        first, last = np.searchsorted(found["units"], [begin, end])
        return cls(*(np.asarray(found[n][first:last]) for n in ("units", "firsts", "counts")))


def find_repeats(
    survey: Survey, number: int, rule: Rule, ranks: Places, part: int, num_parts: int
) -> Repeats:
    """The repeats by a method's rule of this number whose keys are in one range of so many."""
    keys, units = survey.part(number, part, num_parts)
    order = np.argsort(keys, kind="stable")
    keys, units = keys[order], units[order]
    chosen = np.zeros(keys.size, bool)  # most pieces stand in one place only: not chosen
    same = keys[1:] == keys[:-1]
    chosen[1:] = same
    chosen[:-1] |= same
    keys, units = keys[chosen], units[chosen]
    documents = survey.documents_of(units)
    order = np.lexsort((units, ranks[documents], keys))
    keys, units, documents = keys[order], units[order], documents[order]
    begins = np.ones(keys.size, bool)
    begins[1:] = keys[1:] != keys[:-1]
    is_new = begins.copy()
    is_new[1:] |= documents[1:] != documents[:-1]
    starts = np.flatnonzero(begins)
    sizes = np.diff(starts, append=keys.size)
    counts = np.add.reduceat(is_new, starts, dtype=np.int64) if keys.size else sizes
    totals: Places | int = max(ranks.size, 1)
    if rule.by_domain:
        totals = survey.num_in_domain()[documents[starts]]
    is_repeat = (counts >= rule.min_documents) & (counts >= rule.min_share * totals)
    chosen = np.repeat(is_repeat, sizes)
    found = Repeats(units, np.repeat(units[starts], sizes), np.repeat(counts, sizes)).take(chosen)
    return found.take(np.argsort(found.units, kind="stable"))


def confirm(repeats: Repeats, survey: Survey, shard: int, method: TextMethod, own: Units) -> Flags:
    """Which repeats of a shard, whose units are `own`, are the same bytes as the first."""
    from tasks.dedup.compiled.pieces import count_same

    width, is_true = method.width, np.ones(repeats.units.size, bool)
    begins = repeats.units - survey.firsts[shard]
    shards = np.searchsorted(survey.firsts, repeats.firsts, "right") - 1
    there = repeats.firsts - survey.firsts[shards]
    is_first = repeats.units == repeats.firsts
    known: dict[int, Units] = {shard: own}
    order = np.argsort(shards, kind="stable")  # the texts of one other shard at a time
    for first, last in _runs(begins[order], there[order], shards[order], is_first[order]):
        at, other = int(order[first]), int(shards[order[first]])
        if other not in known:
            path = survey.folders[other] / "texts.safetensors"
            known = {shard: own, other: Units.read(path, method.unit)}
        units = known[other]
        rest, end = first, last
        while rest < end:  # at once where all are the same; else from the one that is not on
            at = int(order[rest])
            asked = end - rest + width - 1
            same = count_same(
                own.data, own.starts, own.ends, int(begins[at]),
                units.data, units.starts, units.ends, int(there[at]), asked,
            )  # fmt: skip
            if same == asked:
                break
            good = max(same - width + 1, 0)
            is_true[order[rest + good]] = False
            rest += good + 1
    return is_true


def _runs(
    begins: Places, there: Places, shards: Places, is_first: Flags
) -> Iterator[tuple[int, int]]:
    """From where to where one piece follows the other in both places; first places left out."""
    goes_on = np.zeros(begins.size, bool)
    goes_on[1:] = (np.diff(begins) == 1) & (np.diff(there) == 1) & (np.diff(shards) == 0)
    goes_on[1:] &= is_first[1:] == is_first[:-1]
    edges = np.append(np.flatnonzero(~goes_on), begins.size).tolist()
    for first, last in pairwise(edges):
        if not is_first[first]:
            yield first, last
