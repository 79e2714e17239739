"""How many resources a page of a walk through all of them holds, so that it fits in memory: a Binary may have 50 MB."""

BYTES = 8_000_000  # of a page, about
MOST = 32_000_000  # of a page of lines, unless it is one body: stores end it before
FIRST = 4  # resources of the first page, when nothing is known of their size


def paced(count: int, found: int, size: int, most: int) -> int:
    """The number of resources to ask for after a page that was asked for with `count` and held `found` of `size` bytes
    together: as many as fit, if the next are like them, and `most` at most."""
    return max(1, min(most, found * BYTES // max(size, 1))) if found else count
