"""What a gVCF says was read: its blocks without a variant, as regions studied. https://gatk.broadinstitute.org/hc/en-us/articles/360035531812

A gVCF names every base: in records of variants, and in blocks that end at END, of which the alternate allele is
`<NON_REF>`, `<*>` or none. What was read deep and surely enough was studied; what was not is uncallable. Neighbours
become one interval, and intervals are given away by the thousand: memory does not grow with the file.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fhir_server.genomics.vcf.calls import ANY, amount
from fhir_server.genomics.vcf.read import Record

_CALLED, _REFERENCE = re.compile(r"\d+(?:[/|]\d+)*", re.ASCII), re.compile(r"0(?:[/|]0)*")
MOST = 1000  # intervals of one Observation
Interval = tuple[int, int]  # positions from 1, both ends included


class Gene(NamedTuple):
    """Where a gene lies, or a part of it that was meant to be read; `code` is its HGNC id, "" if that is not known."""

    chromosome: str
    interval: Interval
    name: str
    code: str = ""


class Piece(NamedTuple):
    """Some of what was read of a chromosome."""

    chromosome: str
    studied: tuple[Interval, ...]
    uncallable: tuple[Interval, ...]


class Needs(NamedTuple):
    """What it takes to have been read: reads, and phred-scaled surety of the genotype. What is not told is no fault."""

    depth: int = 10
    quality: int = 20


def is_block(record: Record) -> bool:
    """Whether a record stands for bases without a variant."""
    whole = "END" in record.info and "SVTYPE" not in record.info
    return all(alt in ANY for alt in record.alts) and (whole or bool(record.alts))


def good(record: Record, needs: Needs, every_filter: bool) -> bool:
    """Whether the bases of a record were read well enough."""
    if not (_REFERENCE if is_block(record) else _CALLED).fullmatch(record.call.get("GT", "")):
        return False
    if not every_filter and (record.filters or record.call.get("FT", "PASS") not in ("PASS", ".", "")):
        return False
    depth = _first(record, ("MIN_DP", "MinDP", "DP"))
    quality = _first(record, ("GQ", "RGQ"))
    return (depth is None or depth >= needs.depth) and (quality is None or quality >= needs.quality)


def _first(record: Record, keys: Sequence[str]) -> float | None:
    """The first number under one of the keys, of the sample before the site."""
    told = (amount(of.get(key)) for of in (record.call, record.info) for key in keys)
    return next((one for one in told if one is not None), None)


@dataclass(slots=True)
class Coverage:
    """Gathers what was read, clipped to `within` where that names intervals."""

    needs: Needs
    every_filter: bool
    within: Mapping[str, Sequence[Interval]]
    genes: Sequence[Gene] = ()
    seen: bool = False  # whether the file has blocks at all
    _chromosome: str = ""
    _open: dict[bool, Interval] = field(default_factory=dict)  # by whether it was read: the one that may grow
    _closed: dict[bool, list[Interval]] = field(default_factory=lambda: {True: [], False: []})
    _read: dict[int, int] = field(default_factory=dict)  # by gene: how many of its bases
    _limits: dict[str, list[Interval]] = field(default_factory=dict)  # `within`, in order and without overlaps
    _places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # of genes: begin and number, in order
    _longest: int = 0  # of the genes

    def __post_init__(self) -> None:
        self._limits = {name: merged(intervals) for name, intervals in self.within.items()}
        for place, gene in enumerate(self.genes):
            self._places.setdefault(gene.chromosome, []).append((gene.interval[0], place))
            self._longest = max(self._longest, gene.interval[1] - gene.interval[0])
        for places in self._places.values():
            places.sort()

    def see(self, record: Record, chromosome: str, last: int) -> Iterator[Piece]:
        """Take a record of a chromosome that ends at `last`; gives away what is full."""
        block = is_block(record)
        self.seen |= block or any(alt in ANY for alt in record.alts)
        if not self.seen or not 1 <= record.pos <= last:
            return
        if chromosome != self._chromosome:
            yield from self.rest()
            self._chromosome = chromosome
        stated = amount(record.info.get("END")) if block else None
        end = min(int(stated) if stated is not None else record.pos + len(record.ref) - 1, last)
        if end >= record.pos:
            self._add(good(record, self.needs, self.every_filter), (record.pos, end))
            if sum(map(len, self._closed.values())) >= MOST:
                yield self._piece()

    def rest(self) -> Iterator[Piece]:
        """What has not been given away."""
        for read, interval in sorted(self._open.items()):
            self._close(read, interval)
        self._open.clear()
        if any(self._closed.values()):
            yield self._piece()

    def studied_genes(self) -> Iterator[tuple[str, dict[tuple[str, str], Gene], int]]:
        """By chromosome, of the genes that were meant to be read: those that were wholly, by chromosome and name; and
        how many others there are."""
        all_read: dict[tuple[str, str], bool] = {}
        named: dict[tuple[str, str], Gene] = {}
        for place, gene in enumerate(self.genes):
            key = (gene.chromosome, gene.name)
            bases = gene.interval[1] - gene.interval[0] + 1
            all_read[key] = all_read.get(key, True) and self._read.get(place, 0) >= bases
            named.setdefault(key, gene)
        for chromosome in dict.fromkeys(gene.chromosome for gene in self.genes):
            mine = [key for key in named if key[0] == chromosome]
            whole = {key: named[key] for key in mine if all_read[key]}
            yield chromosome, whole, len(mine) - len(whole)

    def _add(self, read: bool, interval: Interval) -> None:
        other = self._open.pop(not read, None)
        if other is not None:
            self._close(not read, other)
        now = self._open.get(read)
        if now is not None and now[0] <= interval[0] <= now[1] + 1:
            self._open[read] = (now[0], max(now[1], interval[1]))
            return
        if now is not None:
            self._close(read, now)
        self._open[read] = interval

    def _close(self, read: bool, interval: Interval) -> None:
        limits = self._limits.get(self._chromosome, []) if self.within else [interval]
        for part in clipped(interval, limits):
            self._closed[read].append(part)
            if read and self.genes:
                self._count(part)

    def _count(self, part: Interval) -> None:
        """Add the bases of an interval to the genes that lie there."""
        places = self._places.get(self._chromosome, [])
        for begin, place in reversed(places[: bisect_right(places, (part[1], len(self.genes)))]):
            if begin < part[0] - self._longest:
                return
            low, high = max(part[0], begin), min(part[1], self.genes[place].interval[1])
            self._read[place] = self._read.get(place, 0) + max(high - low + 1, 0)

    def _piece(self) -> Piece:
        made = Piece(self._chromosome, tuple(self._closed[True]), tuple(self._closed[False]))
        self._closed = {True: [], False: []}
        return made


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same bases as intervals in order that do not overlap."""
    found: list[Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found


def clipped(interval: Interval, within: Sequence[Interval]) -> Iterator[Interval]:
    """The parts of an interval that lie in others, which are in order and do not overlap."""
    for low, high in within[max(bisect_right(within, interval) - 1, 0) :]:
        if low > interval[1]:
            return
        if high >= interval[0]:
            yield max(low, interval[0]), min(high, interval[1])
