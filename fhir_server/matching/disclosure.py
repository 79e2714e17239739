"""Counts that may be told: none under LEAST, and none that can be worked out from the others.

What is too small is not blanked but joined with its smallest neighbours until all that is told is large enough. Every
number that is told is a sum of disjoint cells, and so is every difference of two of them: that is why the joined cells
need no second look (complementary suppression). https://www.cms.gov has the rule of eleven.
"""

from collections.abc import Sequence
from typing import NamedTuple

LEAST = 11

Blocks = list[tuple[int, ...]]  # a partition of the places 0 to n-1


class Table(NamedTuple):
    """What may be told of a table: the rows and columns that were joined, and the count of each joined cell."""

    rows: Blocks
    columns: Blocks
    cells: list[list[int]]


def joined(counts: Sequence[int], ordered: bool = False) -> Blocks:
    """A partition, made greedily, in which every block counts LEAST or more; one block if there is none. The smallest
    block is joined with the next smallest, where places are `ordered` with the smaller of its neighbours."""
    blocks: Blocks = [(place,) for place in range(len(counts))]

    def size(block: tuple[int, ...]) -> int:
        return sum(counts[place] for place in block)

    while len(blocks) > 1:
        least = min(blocks, key=lambda block: (size(block), block))
        if size(least) >= LEAST:
            break
        at = blocks.index(least)
        others = [*blocks[max(at - 1, 0) : at], *blocks[at + 1 : at + 2]] if ordered else blocks[:at] + blocks[at + 1 :]
        other = min(others, key=lambda block: (size(block), block))
        blocks = sorted([*(block for block in blocks if block not in (least, other)), tuple(sorted((*least, *other)))])
    return blocks


def told(counts: Sequence[Sequence[int]], rows: Blocks | None = None) -> Table | None:
    """A table of counts as it may be told: columns joined by their totals, then rows; None if even the whole is too
    small. `rows`: blocks that are joined in any case: those of the rows' totals, in all tables of the same people."""
    if sum(map(sum, counts)) < LEAST:
        return None
    width = len(counts[0])
    columns = joined([sum(row[place] for row in counts) for place in range(width)], ordered=True)
    blocks = list(rows if rows is not None else joined([sum(row) for row in counts]))

    def cells(block: tuple[int, ...]) -> list[int]:
        return [sum(counts[row][place] for row in block for place in column) for column in columns]

    while len(blocks) > 1:
        small = [block for block in blocks if min(cells(block)) < LEAST]
        if not small:
            break
        worst = min(small, key=lambda block: (sum(cells(block)), block))
        other = min((block for block in blocks if block != worst), key=lambda block: (sum(cells(block)), block))
        blocks = [block for block in blocks if block not in (worst, other)]
        blocks.append(tuple(sorted((*worst, *other))))
    blocks.sort()
    return Table(blocks, columns, [cells(block) for block in blocks])
