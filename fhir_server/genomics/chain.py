"""Regions of one assembly as regions of the other, by a chain file. https://genome.ucsc.edu/goldenPath/help/chain.html

A chain says which blocks of two sequences correspond, in order, with gaps between them. An end that lies in a gap is
moved outward, so that a converted region never leaves out what the region has. Chains between different chromosomes, to
sequences that are no chromosomes, and of the mitochondrion, which hg19 has another one of, are left out.
"""

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from operator import attrgetter
from typing import NamedTuple

from fhir_server.genomics.assemblies import GRCH37, GRCH38, accession_of, chromosome_named
from fhir_server.genomics.variant import Interval

Lift = Callable[[Interval], "Lifted | None"]


class Lifted(NamedTuple):
    """A region on the other assembly; `whole` if it corresponds base by base, in the same direction."""

    at: Interval
    whole: bool


class _Block(NamedTuple):
    start: int  # on the sequence that is converted from
    there: int  # on the other, its lowest base
    size: int
    forward: bool

    def base(self, at: int) -> int:
        """The base there of a base here, or of the nearest one that the block has."""
        inside = min(max(at - self.start, 0), self.size - 1)
        return self.there + (inside if self.forward else self.size - 1 - inside)


class _Chain(NamedTuple):
    score: int
    there: str
    blocks: list[_Block]


@cache
def opened(path: str) -> Lift | None:
    """How regions are converted, both ways, by a chain file from GRCh37 to GRCh38 (`hg19ToHg38.over.chain`, gzipped or
    not); None without a path. Raises ValueError that says what is wrong with the file."""
    if not path:
        return None
    known: dict[str, list[_Chain]] = {}
    try:
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="ascii") as lines:
            for old, new, chain in _chains(lines):
                known.setdefault(old, []).append(chain)
                known.setdefault(new, []).append(_turned(old, chain))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, IndexError, EOFError, zlib.error):
        raise ValueError(f"{path} is no chain file such as hg19ToHg38.over.chain.") from None
    if not known:
        raise ValueError(f"{path} has no chain between chromosomes of GRCh37 and GRCh38.")
    for chains in known.values():
        chains.sort(key=attrgetter("score"), reverse=True)

    def lift(region: Interval) -> Lifted | None:
        return next(filter(None, (_lifted(chain, region) for chain in known.get(region.accession, ()))), None)

    return lift


def _chains(lines: Iterable[str]) -> Iterator[tuple[str, str, _Chain]]:
    """The chains of a file from chromosome to the same chromosome."""
    here = there = reverse = score = 0
    size = 0
    blocks: list[_Block] | None = None
    names = ("", "")
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "chain":
            old, new = chromosome_named(words[2]), chromosome_named(words[7])
            blocks = [] if old == new and old not in ("", "MT") and words[4] == "+" else None
            names = accession_of(GRCH37, old), accession_of(GRCH38, new)
            score, here, there = int(words[1]), int(words[5]), int(words[10])
            reverse, size = words[9] == "-", int(words[8])
            continue
        length = int(words[0])
        if blocks is not None:
            blocks.append(_Block(here, size - there - length if reverse else there, length, not reverse))
        if len(words) == 3:
            here, there = here + length + int(words[1]), there + length + int(words[2])
        elif blocks:
            yield *names, _Chain(score, names[1], blocks)
            blocks = None


def _turned(there: str, chain: _Chain) -> _Chain:
    blocks = [_Block(one.there, one.start, one.size, one.forward) for one in chain.blocks]
    return _Chain(chain.score, there, sorted(blocks))


def _lifted(chain: _Chain, region: Interval) -> Lifted | None:
    """The region by one chain; None unless the chain has both of its ends, or gaps around them."""
    first, last = region.start, max(region.end, region.start + 1) - 1
    begin = bisect_right(chain.blocks, first, key=attrgetter("start")) - 1
    end = bisect_right(chain.blocks, last, key=attrgetter("start")) - 1
    if begin < 0 or end < 0 or end >= len(chain.blocks):
        return None
    inside = last < chain.blocks[end].start + chain.blocks[end].size
    if not inside:
        end += 1
        if end == len(chain.blocks):
            return None
    ends = chain.blocks[begin].base(first), chain.blocks[end].base(last)
    at = Interval(chain.there, min(ends), max(ends) + 1)
    return Lifted(at, begin == end and inside and chain.blocks[begin].forward)
