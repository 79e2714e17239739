"""The compartment index: a search that pins the subject, and perhaps its codes, as exact keys of one index.

`subject=Patient/1&code=8480-6` asks two entries of `k`, of which an index can serve one. In `c` they are one key, and
the index goes on with the date: the newest readings of one kind of one patient are one short scan.
"""

from typing import Any, NamedTuple

from fhir_server.search.predicate import Is, Or, Predicate, across
from fhir_server.store.mongo.document import EVERY, PINS, Document, pair, pin
from fhir_server.store.mongo.expand import exact_keys
from fhir_server.store.mongo.join import references_to
from fhir_server.store.mongo.pack import PAIRED, SHAPES, Exact, condition
from fhir_server.store.mongo.where import Compiler

MOST = 50  # keys that one scan merges


class Pinned(NamedTuple):
    """How a search that pins a subject begins: the condition, the index it is on, the parts left to compile, and those
    left for which no index is to be looked for."""

    narrow: Document
    hint: str
    left: list[Predicate]
    tested: list[Predicate]


async def pinned_filter(compiler: Compiler, parts: list[Predicate], by_date: bool) -> Pinned | None:
    """The conditions on `c` or `k` that `parts` allow; None when no subject is pinned.

    One subject's resources are few, and in order of creation under their key. Left to itself the planner may prefer the
    key of a common status, and read a million others to find them.
    """
    if len(compiler.types) != 1 or compiler.types[0] in compiler.overflowing:
        return None
    for part in parts:
        pinned = _pin(part)
        if pinned is None:
            continue
        rest = [other for other in parts if other is not part]
        for other in rest:
            keys = await _pairs(compiler, pinned, other)
            if keys is not None:
                left = [third for third in rest if third is not other]
                return Pinned({"c": {"$in": [*keys, pair(pinned, EVERY)]}}, "compartment", left, [other])
        if by_date:
            return Pinned({"c": pinned}, "compartment", rest, [])
        assert isinstance(part, Is)
        told: dict[str, Any] = {field: value for field, _, value in part.tests}
        keys = references_to(part.param, told["type"], told["id"])
        near = [other for other in rest if not across(other)]
        return Pinned({"k": {"$in": keys}}, "key", [other for other in rest if across(other)], near)
    return None


def _pin(part: Predicate) -> str | None:
    if not isinstance(part, Is) or part.param.kind != "reference" or part.param.code not in PINS:
        return None
    told: dict[str, Any] = {field: value for field, operator, value in part.tests if operator == "="}
    if len(part.tests) != 2 or set(told) != {"type", "id"} or not told["id"]:
        return None
    return pin(part.param.code, told["type"], told["id"])


async def _pairs(compiler: Compiler, pinned: str, part: Predicate) -> list[str] | None:
    options = part.parts if isinstance(part, Or) else (part,)
    if not options or not all(isinstance(one, Is) and one.param in PAIRED for one in options):
        return None
    keys: list[str] = []
    for one in options:
        assert isinstance(one, Is)
        found = condition(SHAPES[one.param], one.param.code, one.tests)
        if isinstance(found, Exact):
            keys += [pair(pinned, key) for key in found.keys]
        elif found.regex:
            return None
        else:
            low, high = pair(pinned, found.low), pair(pinned, found.high)
            some = await exact_keys(compiler.database, compiler.session, "compartment", compiler.types[0], low, high)
            if some is None:
                return None
            keys += some
        if len(keys) > MOST:
            return None
    return keys
