"""Which lock documents a conditional interaction touches: one per equality in its criteria; overlapping ones collide.

Snapshot isolation lets two transactions search the same criteria, both find nothing, and both create. Writing the same
document makes the second fail and run again. The documents are a fixed number of buckets: two criteria that share one
by chance merely wait for each other. A create without criteria takes no lock: it may race a conditional one.
 https://www.mongodb.com/docs/manual/core/transactions-production-consideration/
"""

import random
from collections.abc import Iterator
from hashlib import blake2b

from fhir_server.search.predicate import And, Chain, Has, Is, Not, Of, Or, Predicate
from fhir_server.store.seam import Query

BUCKETS = 1 << 16
PLACES = 8  # of a shared lock: that many who share it seldom touch the same one, and who owns it touches them all
TELLING = ("code", "id", "url", "norm", "exact", "uri")  # fields that name a value; systems and types are too common


def buckets(query: Query) -> list[int]:
    """The buckets of a query's equalities, sorted so that two transactions take them in the same order.

    Criteria without any equality share one bucket per type."""
    leaves = {leaf for type_ in query.types or ("",) for leaf in _leaves(type_, query.where)}
    if not leaves:
        leaves = set(query.types) or {""}
    return sorted(map(_bucket, leaves))


def one_place(key: str) -> int:
    """The bucket of one of those who share a lock."""
    return _bucket(f"{key}\t{random.randrange(PLACES)}")


def every_place(key: str) -> list[int]:
    """The buckets of who owns a lock."""
    return [_bucket(f"{key}\t{place}") for place in range(PLACES)]


def _bucket(leaf: str) -> int:
    return int.from_bytes(blake2b(leaf.encode(), digest_size=4).digest(), "big") % BUCKETS


def _leaves(type_: str, where: Predicate) -> Iterator[str]:
    match where:
        case Is(param, tests):
            for field, operator, value in tests:
                if operator in ("=", "prefix") and field.rpartition(".")[2] in TELLING and value:
                    yield f"{type_}\t{param.code}\t{value}"
        case And(parts) | Or(parts):
            for part in parts:
                yield from _leaves(type_, part)
        case Not(part) | Of(_, part):
            yield from _leaves(type_, part)
        case Chain(_, other, inner):
            yield from _leaves(other, inner)
        case Has(other, _, inner):
            yield from _leaves(other, inner)


def searched_types(query: Query) -> frozenset[str]:
    """Every type that the query looks at; empty: all of them."""
    if not query.types:
        return frozenset()
    return frozenset({*query.types, *_types(query.where)})


def _types(where: Predicate) -> Iterator[str]:
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _types(part)
        case Not(part) | Of(_, part):
            yield from _types(part)
        case Chain(_, type_, inner) | Has(type_, _, inner):
            yield type_
            yield from _types(inner)
