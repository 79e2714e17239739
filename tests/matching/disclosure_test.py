"""No count under eleven is told, nor can one be worked out from what is told."""

import itertools
from random import Random

import pytest

from fhir_server.matching.disclosure import LEAST, joined, told


@pytest.mark.parametrize(
    ("counts", "blocks"),
    [
        ([100, 20, 11], [(0,), (1,), (2,)]),
        ([100, 20, 10], [(0,), (1, 2)]),
        ([100, 3, 4], [(0, 1, 2)]),  # 3 and 4 together are still too few
        ([100, 6, 7], [(0,), (1, 2)]),
        ([500, 0, 0], [(0, 1, 2)]),
        ([3, 2, 1], [(0, 1, 2)]),
        ([11], [(0,)]),
    ],
)
def test_small_counts_are_joined(counts: list[int], blocks: list[tuple[int, ...]]) -> None:
    assert joined(counts) == blocks


def test_where_there_is_an_order_neighbours_are_joined() -> None:
    assert joined([24, 0, 26, 4, 29], ordered=True) == [(0, 1), (2, 3), (4,)]
    assert joined([24, 0, 26, 4, 29]) == [(0, 1, 3), (2,), (4,)]


def test_every_number_and_every_difference_is_large_or_none() -> None:
    random = Random(3)
    kinds = set()
    for _ in range(2000):
        height, width = random.randint(1, 6), random.randint(2, 5)
        counts = [[random.choice((0, 1, 5, 12, 40, 400)) for _ in range(width)] for _ in range(height)]
        table = told(counts)
        total = sum(map(sum, counts))
        assert (table is None) == (total < LEAST)
        if table is None:
            continue
        cells = [cell for row in table.cells for cell in row]
        assert sum(cells) == total
        assert min(cells) >= LEAST
        assert sorted(itertools.chain(*table.rows)) == list(range(height))
        assert sorted(itertools.chain(*table.columns)) == list(range(width))
        for block, row in zip(table.rows, table.cells, strict=True):
            for column, cell in zip(table.columns, row, strict=True):
                assert cell == sum(counts[r][c] for r in block for c in column)
        kinds.add((len(table.rows) < height, len(table.columns) < width))
    assert len(kinds) == 4  # rows joined, columns joined, both, neither


def test_tables_about_the_same_people_join_the_same_small_groups() -> None:
    first, second = [[100, 50], [20, 30], [4, 3]], [[75, 75], [25, 25], [3, 4]]
    rows = joined([sum(row) for row in first])
    assert rows == [(0,), (1, 2)]
    for counts in (first, second):
        table = told(counts, rows)
        assert table is not None
        assert {2} not in [set(block) for block in table.rows]
