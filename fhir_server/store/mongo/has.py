"""Whom do others refer to (`_has`)? Asked from the side on which there is less to look at.

https://hl7.org/fhir/R4/search.html#has

Where other conditions leave few candidates, only what refers to those is looked at; else what meets the condition, if
it is little. What is left (many candidates, many that refer) is for the `$lookup` of join.py, which ends with the page.
Where a date from some time on is asked for, and more than a few have one, that is better for few candidates too.
"""

from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import And, Has, Is, Or, Param, Predicate, conjuncts
from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import DATE, EVERY, PINS, Document, pair, pin
from fhir_server.store.mongo.expand import exact_keys
from fhir_server.store.mongo.join import references_to, targets
from fhir_server.store.mongo.pack import PAIRED, SHAPES, TAB, Exact, condition

NEAR = 200  # candidates that are looked at singly
MOST = 2_000  # resources read to find out whom they refer to: 15 ms
RARE = 10  # where at most one of so many candidates is referred to, ten times MOST are read rather than a page walked
MOST_CODES = 8
PERMITS = ("rule", "until")  # kinds of conditions that a caller's permit adds

Session = AsyncClientSession | None


def newest_first(has: Has) -> bool:
    """Whether the newest of what refers to a candidate tells if any meets the condition, a bound on the date from
    below: one look at the compartment index is enough for most candidates, however many refer to them."""
    asked = [part for part in conjuncts(has.where) if not (isinstance(part, Is) and part.param.kind in PERMITS)]
    return has.param.code in PINS and len(asked) == 1 and _from_a_date_on(asked[0])


def _from_a_date_on(where: Predicate) -> bool:
    if isinstance(where, Or):
        return bool(where.parts) and all(map(_from_a_date_on, where.parts))
    if not isinstance(where, Is) or where.param != DATE or not where.tests:
        return False
    return all(operator in (">", ">=") for _, operator, _ in where.tests)


async def referred_to(
    database: Database,
    session: Session,
    types: tuple[str, ...],
    near: Document,
    has: Has,
    pipeline: list[Document],
    few: int,
) -> list[str] | None:
    """The `_id`s, at most `few`, of the resources of `types` that meet `near` and to which refers what `pipeline`
    finds: the resources that meet `has.where`. None if neither side is small."""
    wanted = {"t": {"$in": list(types)}, **({"$and": [near]} if near else {})}
    if near:
        rows = await database.resource.find(
            wanted, {"_id": 0, "r": 1, "i": 1}, limit=NEAR + 1, session=session
        ).to_list()
        if not rows:
            return []
        if len(rows) <= min(NEAR, few):
            if newest_first(has):  # each is looked at singly, unless fewer meet the condition
                return (await _targets(database, session, pipeline, has.param, types, few, len(rows)))[0]
            hint, narrow = await _referring(database, session, has, [(row["r"], row["i"]) for row in rows])
            if await _count(database, session, {"t": has.type, **narrow}, hint, MOST) <= MOST:
                found, _ = await _targets(
                    database, session, [{"$match": narrow}, *pipeline], has.param, types, few, MOST, hint
                )
                return found
    found, many = await _targets(database, session, pipeline, has.param, types, few, MOST)
    if found is None and newest_first(has):
        return None
    if found is None and await _count(database, session, wanted, None, RARE * many) > RARE * many:
        found, _ = await _targets(database, session, pipeline, has.param, types, few, 10 * MOST)
    return found


async def _count(database: Database, session: Session, filter_: Document, hint: str | None, most: int) -> int:
    stages: list[Document] = [{"$match": filter_}, {"$limit": most + 1}, {"$count": "found"}]
    rows = await (await database.resource.aggregate(stages, session=session, **_hint(hint))).to_list()
    return int(rows[0]["found"]) if rows else 0


async def _targets(
    database: Database,
    session: Session,
    pipeline: list[Document],
    param: Param,
    types: tuple[str, ...],
    few: int,
    most: int,
    hint: str | None = None,
) -> tuple[list[str] | None, int]:
    """The `_id`s of `types` that what `pipeline` finds refers to through `param`, None if they are more than `few` or
    it finds more than `most`; and how many different ones were met."""
    name = SHAPES[param].prefix  # of the sort keys too: `s` tells the reference where there is one (z: several)
    one: Document = {"$eq": [{"$type": f"$z.{name}"}, "missing"]}
    stages: list[Document] = [
        *pipeline,
        {"$limit": most + 1},  # before anything else: a cursor fills 4 MB before it hands anything on
        {"$project": {"_id": 0, "to": {"$cond": [one, f"$s.{name}", targets(param, types)]}}},
        {"$unwind": {"path": "$to", "preserveNullAndEmptyArrays": True}},  # what refers to nothing was read too
        {"$group": {"_id": "$to", "count": {"$sum": 1}}},
        {"$limit": few + 1},
    ]
    rows = await (await database.resource.aggregate(stages, session=session, **_hint(hint))).to_list()
    read = sum(row["count"] for row in rows)
    if len(rows) > few or read > most:
        return None, len(rows)
    found = (row["_id"].replace(TAB, "/", 1) for row in rows if row["_id"])
    return [id_ for id_ in found if id_.partition("/")[0] in types], len(rows)


def _hint(index: str | None) -> dict[str, Any]:
    return {"hint": index} if index else {}


async def _referring(
    database: Database, session: Session, has: Has, candidates: list[tuple[str, str]]
) -> tuple[str, Document]:
    """An index, and the condition on it that all meet that refer to the candidates (and, if it can tell, have the code
    that is asked for)."""
    code = has.param.code
    if code not in PINS:
        return "key", {"k": {"$in": [key for one in candidates for key in references_to(has.param, *one)]}}
    pins = [pin(code, *one) for one in candidates]
    codes = await _codes(database, session, has.type, has.where)
    if codes is None:
        return "compartment", {"c": {"$in": pins}}
    return "compartment", {"c": {"$in": [pair(one, key) for one in pins for key in (*codes, EVERY)]}}


async def _codes(database: Database, session: Session, type_: str, where: Predicate) -> list[str] | None:
    """The keys of the codes of which one must be met; None if there is no such condition, or they are many."""
    parts: Any = where.parts if isinstance(where, And) else (where,)
    for part in parts:
        options: Any = part.parts if isinstance(part, Or) else (part,)
        keys: list[str] | None = []
        for one in options:
            some = await _keys(database, session, type_, one)
            keys = None if keys is None or some is None or len(keys) + len(some) > MOST_CODES else [*keys, *some]
        if options and keys is not None:
            return keys
    return None


async def _keys(database: Database, session: Session, type_: str, part: Predicate) -> list[str] | None:
    if not isinstance(part, Is) or part.param not in PAIRED:
        return None
    found = condition(SHAPES[part.param], part.param.code, part.tests)
    if isinstance(found, Exact):
        return found.keys
    return None if found.regex else await exact_keys(database, session, "key", type_, found.low, found.high)
