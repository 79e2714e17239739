"""A predicate as a MongoDB filter, exact in every case. https://www.mongodb.com/docs/manual/reference/operator/query/

Each `Is` is a condition on one element of one array, so one entry meets all its tests. A chain is a `$in` on the keys
of what it finds while that is little, and a `$lookup` per candidate once it is more than FEW: never an unbounded list.
Conditions on the resource itself come first: where they are selective, `_has` is asked of what they leave (has.py).
"""

from dataclasses import dataclass, field
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from fhir_server.search.predicate import And, Chain, Has, Is, Not, Of, Or, Param, Predicate, across, conjuncts
from fhir_server.store.mongo.connect import Database
from fhir_server.store.mongo.document import Document, key_of
from fhir_server.store.mongo.expand import exact_keys
from fhir_server.store.mongo.has import newest_first, referred_to
from fhir_server.store.mongo.join import chain_join, has_join, newest_join, references_to
from fhir_server.store.mongo.pack import COMPARE, SHAPES, Exact, Shape, Within, bounded, condition, literal, range_tests

FEW = 1000  # resources that a chain may find and still become a $in (2 keys each, some 100 KB)
NEVER: Document = {"_id": {"$in": []}}


@dataclass
class Plan:
    """A compiled predicate: `early` needs no joins; then `joins` add fields, which `late` asks about."""

    early: list[Document] = field(default_factory=list)
    joins: list[Document] = field(default_factory=list)
    late: list[Document] = field(default_factory=list)

    def pipeline(self, types: tuple[str, ...]) -> list[Document]:
        """The stages that keep what matches."""
        return self._stages(everything(of_types(types), *self.early))

    def inside(self, types: tuple[str, ...]) -> list[Document]:
        """The same within a $lookup, where the field looked up is to lead: in turns with an index on a condition, the
        planner compares all of them for nearly every candidate, and may settle on reading the same range for each."""
        return self._stages(everything(of_types(types), unindexed(everything(*self.early))))

    def _stages(self, first: Document) -> list[Document]:
        stages: list[Document] = [{"$match": first}, *self.joins]
        return [*stages, {"$match": everything(*self.late)}] if self.late else stages


@dataclass
class Compiler:
    """What compiling needs: the database, the transaction's session if there is one, the types searched."""

    database: Database
    session: AsyncClientSession | None
    types: tuple[str, ...]
    overflowing: frozenset[str]  # types of which some resource has overflow documents
    joins: list[Document] = field(default_factory=list)
    near: Document = field(default_factory=dict)  # what is known of every resource asked about; {} while nothing is

    async def plan(self, where: Predicate) -> Plan:
        """Compile a whole predicate."""
        return await self.plan_of(conjuncts(where))

    async def plan_of(self, parts: list[Predicate], *narrow: Document) -> Plan:
        """Compile predicates that must all be met, as `narrow` must."""
        plan = Plan(early=[*narrow])
        for part in sorted(parts, key=across):
            self.near = everything(*plan.early)
            before = len(self.joins)
            compiled = await self.compile(part, sure=True)
            (plan.late if len(self.joins) > before else plan.early).append(compiled)
        plan.joins = self.joins
        return plan

    async def compile(self, where: Predicate, sure: bool = False) -> Document:
        """One predicate as a filter; `sure` if everything found must meet it, so that it may lead an index scan."""
        match where:
            case And(parts):
                return everything(*[await self.compile(part, sure) for part in parts])
            case Or(parts):
                compiled = [await self.compile(part) for part in parts]
                return some(compiled)
            case Not(part):
                return {"$nor": [await self.compile(part)]}
            case Is(param, tests):
                return await self._is(param, tests, sure)
            case Chain(param, type_, inner):
                return await self._chain(param, type_, inner)
            case Has(type_, param, inner):
                return await self._has(type_, param, inner)
            case Of(wanted, inner):
                kept = tuple(type_ for type_ in self.types if type_ in wanted)
                if not kept:
                    return NEVER
                narrow = Compiler(self.database, self.session, kept, self.overflowing, self.joins, self.near)
                filter_ = await narrow.compile(inner, sure)
                return filter_ if len(kept) == len(self.types) else everything(of_types(kept), filter_)

    async def _is(self, param: Param, tests: tuple[Any, ...], sure: bool) -> Document:
        if param.kind in ("id", "updated", "rule", "until"):
            return self._column(param, tests)
        shape = SHAPES[param]
        found = condition(shape, param.code, tests)
        coded = sure and set(shape.kind.split("$")) == {"token"}
        if coded and isinstance(found, Within) and not found.regex and len(self.types) == 1:
            keys = await exact_keys(self.database, self.session, "key", self.types[0], found.low, found.high)
            found = Exact(keys) if keys and self.types[0] not in self.overflowing else found
        return await self.entry(entry_filter(shape, found, tests))

    def _column(self, param: Param, tests: tuple[Any, ...]) -> Document:
        if param.kind == "updated":
            return everything(*({"u": {COMPARE[operator]: bounded(value)}} for _, operator, value in tests))
        if param.kind == "rule":
            if tests[0][1] != "in":
                return {"rule": {COMPARE[operator]: value for _, operator, value in tests}}
            return {"rule": {"$in": [rule for _, _, wanted in tests for (rule,) in wanted]}}
        if param.kind == "until":
            return {"until": {COMPARE[operator]: value for _, operator, value in tests}}
        parts: list[Document] = []
        for _, operator, value in tests:
            if operator == "in":
                parts.append({"_id": {"$in": [key_of(type_, id_) for type_ in self.types for (id_,) in value]}})
            elif operator == "=":
                parts.append({"_id": {"$in": [key_of(type_, value) for type_ in self.types]}})
            else:
                parts.append(text_filter("i", operator, value))
        return everything(*parts)

    async def entry(self, filter_: Document) -> Document:
        """A condition on one entry, which may lie in an overflow document of the resource."""
        if self.overflowing.isdisjoint(self.types):
            return filter_
        asked = everything(of_types(self.types), filter_)
        stages: list[Document] = [{"$match": asked}, {"$group": {"_id": "$of"}}, {"$limit": FEW + 1}]
        cursor = await self.database.overflow.aggregate(stages, session=self.session)
        ids = [row["_id"] async for row in cursor]
        if len(ids) <= FEW:
            return {"$or": [filter_, {"_id": {"$in": ids}}]} if ids else filter_
        name = self._name()
        inside = [{"$match": asked}, {"$limit": 1}, {"$project": {"_id": 1}}]
        self.joins.append(
            {"$lookup": {"from": "overflow", "localField": "_id", "foreignField": "of", "pipeline": inside, "as": name}}
        )
        return {"$or": [filter_, {f"{name}.0": {"$exists": True}}]}

    async def _inner(self, type_: str, where: Predicate) -> Plan:
        return await Compiler(self.database, self.session, (type_,), self.overflowing).plan(where)

    async def _chain(self, param: Param, type_: str, where: Predicate) -> Document:
        plan = await self._inner(type_, where)
        stages = [*plan.pipeline((type_,)), {"$limit": FEW + 1}, {"$project": {"_id": 0, "i": 1}}]
        cursor = await self.database.resource.aggregate(stages, session=self.session)
        ids = [row["i"] async for row in cursor]
        if len(ids) <= FEW:
            keys = [key for id_ in ids for key in references_to(param, type_, id_)]
            return await self.entry({"k": {"$in": keys}}) if keys else NEVER
        name = self._name()
        overflows = not self.overflowing.isdisjoint(self.types)
        joins, found = chain_join(param, type_, plan.inside((type_,)), name, overflows)
        self.joins += joins
        return found

    async def _has(self, type_: str, param: Param, where: Predicate) -> Document:
        plan = await self._inner(type_, where)
        name = self._name()
        if type_ not in self.overflowing:
            has, pipeline = Has(type_, param, where), plan.pipeline((type_,))
            found = await referred_to(self.database, self.session, self.types, self.near, has, pipeline, FEW)
            if found is not None:
                return {"_id": {"$in": found}}
            if newest_first(has):
                joins, condition = newest_join(param, plan.inside((type_,)), name)
                self.joins += joins
                return condition
        joins, condition = has_join(param, plan.inside((type_,)), type_, name, type_ in self.overflowing)
        self.joins += joins
        return condition

    def _name(self) -> str:
        return f"join{len(self.joins)}"


def everything(*parts: Document) -> Document:
    """All of the filters."""
    told = [part for part in parts if part]
    return told[0] if len(told) == 1 else {"$and": told} if told else {}


def unindexed(filter_: Document) -> Document:
    """The same filter, but none that an index is looked for."""
    return {"$nor": [{"$nor": [filter_]}]} if filter_ else {}


def some(parts: list[Document]) -> Document:
    """Any of the filters. Exact keys become one list: the planner tries every part of an $or on every index."""
    keys: list[str] = []
    for part in parts:
        wanted = part.get("k") if len(part) == 1 else None
        if isinstance(wanted, str):
            keys.append(wanted)
        elif isinstance(wanted, dict) and wanted.keys() == {"$in"}:
            keys += wanted["$in"]
        else:
            return {"$or": parts}
    return {"k": {"$in": list(dict.fromkeys(keys))}} if keys else NEVER


def of_types(types: tuple[str, ...]) -> Document:
    """Current resources of these types."""
    return {"t": types[0]} if len(types) == 1 else {"t": {"$in": list(types)}}


def text_filter(name: str, operator: str, value: str) -> Document:
    """A test on a plain text field."""
    if operator in COMPARE:
        return {name: {COMPARE[operator]: value}}
    before, after = ("^" if operator == "prefix" else ""), (r"\z" if operator == "suffix" else "")
    return {name: {"$regex": before + literal(value) + after}}


def entry_filter(shape: Shape, found: Exact | Within, tests: tuple[Any, ...]) -> Document:
    """The condition that one element of the shape's array meets."""
    if shape.family != "k":
        numbers: dict[str, Document] = {}
        for name, operator, value in range_tests(shape, tests):
            numbers.setdefault(name, {}).update(_both(numbers.get(name, {}), operator, value))
        return {shape.family: {"$elemMatch": {"p": _packed(found), **numbers}}}
    if isinstance(found, Exact):
        return {"k": found.keys[0] if len(found.keys) == 1 else {"$in": found.keys}}
    bounds = {"$gte": found.low, "$lt": found.high}
    if not found.regex:
        return {"k": {"$elemMatch": bounds}}
    asked = {"$elemMatch": {**bounds, "$regex": found.regex}}
    return {"$and": [{"k": {"$elemMatch": bounds}}, {"$or": [{"k": asked}, {"x": asked}]}]}


def _packed(found: Exact | Within) -> Any:
    if isinstance(found, Exact):
        return found.keys[0] if len(found.keys) == 1 else {"$in": found.keys}
    bounds: Document = {"$gte": found.low, "$lt": found.high}
    return {**bounds, "$regex": found.regex} if found.regex else bounds


def _both(have: Document, operator: str, value: Any) -> Document:
    """Two tests with the same operator on the same number: the stricter one; two equalities that differ: none."""
    if operator not in have or have[operator] == value:
        return {operator: value}
    if operator == "$eq":
        return {"$in": []}
    return {operator: min(have[operator], value) if operator in ("$lt", "$lte") else max(have[operator], value)}
