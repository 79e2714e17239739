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

from fhir_server.genomics.vcf.calls import ANY, amount, unnamed
from fhir_server.genomics.vcf.read import Record

_CALLED, _REFERENCE = re.compile(r"\d+(?:[/|]\d+)*", re.ASCII), re.compile(r"0(?:[/|]0)*")
MOST = 1000  # intervals of one Observation
GENES = 200  # that one Observation names: each has several entries in the index
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


def good(record: Record, needs: Needs, every_filter: bool, alone: bool) -> bool:
    """Whether the bases of a record were read well enough, and what they are is told. `alone`: the file is of one
    sample, so that INFO speaks of it."""
    if unnamed(record) or not (_REFERENCE if is_block(record) else _CALLED).fullmatch(record.call.get("GT", "")):
        return False
    if not every_filter and (record.filters or record.call.get("FT", "PASS") not in ("PASS", ".", "")):
        return False
    depth = _first(record, ("MIN_DP", "MinDP", "DP"), alone)
    quality = _first(record, ("GQ", "RGQ"), alone)
    return (depth is None or depth >= needs.depth) and (quality is None or quality >= needs.quality)


def _first(record: Record, keys: Sequence[str], alone: bool) -> float | None:
    """The first number under one of the keys, of the sample before the site: which sums over samples where there are
    several."""
    told = (amount(of.get(key)) for of in ((record.call, record.info) if alone else (record.call,)) for key in keys)
    return next((one for one in told if one is not None), None)


@dataclass(slots=True)
class Coverage:
    """Gathers what was read, clipped to `within` where that names intervals, without those that are `uncallable`.

    A base that any record leaves in doubt was not read, whatever another record says of it."""

    needs: Needs
    every_filter: bool
    within: Mapping[str, Sequence[Interval]]
    genes: Sequence[Gene] = ()
    uncallable: Mapping[str, Sequence[Interval]] = field(default_factory=dict)
    alone: bool = True  # whether the file is of one sample
    seen: bool = False  # whether the file has blocks at all
    _chromosome: str = ""
    _open: dict[bool, Interval] = field(default_factory=dict)  # by whether it was read: the one that may grow
    _closed: dict[bool, list[Interval]] = field(default_factory=lambda: {True: [], False: []})
    _doubted: dict[str, int] = field(default_factory=dict)  # by chromosome: up to where it was not read
    _counted: dict[str, int] = field(default_factory=dict)  # by chromosome: up to where the bases of genes are counted
    _read: dict[int, int] = field(default_factory=dict)  # by gene: how many of its bases
    _spoilt: set[int] = field(default_factory=set)  # genes with a base that was not read
    _limits: dict[str, list[Interval]] = field(default_factory=dict)  # `within`, in order and without overlaps
    _cut: dict[str, list[Interval]] = field(default_factory=dict)  # `uncallable`, likewise
    _places: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # of genes: begin and number, in order
    _longest: int = 0  # of the genes

    def __post_init__(self) -> None:
        self._limits = {name: merged(intervals) for name, intervals in self.within.items()}
        self._cut = {name: merged(intervals) for name, intervals in self.uncallable.items()}
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
            yield from self._add(good(record, self.needs, self.every_filter, self.alone), (record.pos, end))

    def rest(self) -> Iterator[Piece]:
        """What has not been given away."""
        for read, interval in sorted(self._open.items()):
            yield from self._close(read, interval)
        self._open.clear()
        if any(self._closed.values()):
            yield self._piece()

    def studied_genes(self) -> Iterator[tuple[str, list[Gene], int]]:
        """By chromosome: of the genes that were meant to be read the intervals of those that were wholly, and how many
        others there are."""
        whole: dict[tuple[str, str], bool] = {}
        for place, gene in enumerate(self.genes):
            key = (gene.chromosome, gene.name)
            bases = gene.interval[1] - gene.interval[0] + 1
            read = place not in self._spoilt and self._read.get(place, 0) >= bases
            whole[key] = whole.get(key, True) and read
        for chromosome in dict.fromkeys(gene.chromosome for gene in self.genes):
            mine = [gene for gene in self.genes if gene.chromosome == chromosome and whole[gene.chromosome, gene.name]]
            yield chromosome, mine, sum(key[0] == chromosome and not read for key, read in whole.items())

    def _add(self, read: bool, interval: Interval) -> Iterator[Piece]:
        doubted = self._doubted.get(self._chromosome, 0)
        if read:
            interval = (max(interval[0], doubted + 1), interval[1])
            if interval[0] > interval[1]:
                return
        else:
            self._doubted[self._chromosome] = max(doubted, interval[1])
        other = self._open.pop(not read, None)
        if other is not None:
            end = other[1] if read else min(other[1], interval[0] - 1)
            if other[0] <= end:
                yield from self._close(not read, (other[0], end))
        now = self._open.get(read)
        if now is not None and now[0] <= interval[0] <= now[1] + 1:
            self._open[read] = (now[0], max(now[1], interval[1]))
            return
        if now is not None:
            yield from self._close(read, now)
        self._open[read] = interval

    def _close(self, read: bool, interval: Interval) -> Iterator[Piece]:
        limits = self._limits.get(self._chromosome, []) if self.within else [interval]
        for limited in clipped(interval, limits):
            for part in outside(limited, self._cut.get(self._chromosome, [])) if read else (limited,):
                self._closed[read].append(part)
                if self.genes:
                    self._count(read, part)
                if sum(map(len, self._closed.values())) >= MOST:
                    yield self._piece()

    def _count(self, read: bool, part: Interval) -> None:
        """Add the bases of an interval to the genes that lie there, those before counted already left out; or mark the
        genes."""
        if read:
            counted = self._counted.get(self._chromosome, 0)
            self._counted[self._chromosome] = max(counted, part[1])
            part = (max(part[0], counted + 1), part[1])
        places = self._places.get(self._chromosome, [])
        for number in range(bisect_right(places, (part[1], len(self.genes))) - 1, -1, -1):
            begin, place = places[number]
            if begin < part[0] - self._longest:
                return
            low, high = max(part[0], begin), min(part[1], self.genes[place].interval[1])
            if low <= high and read:
                self._read[place] = self._read.get(place, 0) + high - low + 1
            elif low <= high:
                self._spoilt.add(place)

    def _piece(self) -> Piece:
        made = Piece(self._chromosome, tuple(self._closed[True]), tuple(self._closed[False]))
        self._closed = {True: [], False: []}
        return made


def gathered(genes: Sequence[Gene]) -> Iterator[list[Gene]]:
    """Genes of one chromosome, as many together as one Observation is to name; one of very many intervals in parts."""
    by_name: dict[str, list[Gene]] = {}
    for gene in genes:
        by_name.setdefault(gene.name, []).append(gene)
    piece: list[Gene] = []
    names = 0
    for mine in by_name.values():
        for begin in range(0, len(mine), MOST):
            some = mine[begin : begin + MOST]
            if names == GENES or len(piece) + len(some) > MOST:
                yield piece
                piece, names = [], 0
            piece += some
            names += 1
    if piece:
        yield piece


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


def outside(interval: Interval, cut: Sequence[Interval]) -> Iterator[Interval]:
    """The parts of an interval that lie in none of others, which are in order and do not overlap."""
    begin = interval[0]
    for low, high in clipped(interval, cut):
        if begin < low:
            yield begin, low - 1
        begin = high + 1
    if begin <= interval[1]:
        yield begin, interval[1]
