"""Predicates as SQL. A predicate is compiled in two ways: as a test on a resource row, and as a source of row numbers.

A test is a boolean expression over an alias of `resource`; every leaf is an EXISTS with an index lookup by resource
number. A source is a SELECT of `rid` that starts from one index range: the planner in find.py takes the cheapest
positive condition as the source and leaves the others as tests.
"""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from fhir_server.search.predicate import And, Chain, Has, Is, Not, Of, Or, Param, Predicate, Test, across
from fhir_server.store.sqlite.dated import dated
from fhir_server.store.sqlite.rows import DAY, Condition, Hasher, condition

OPERATORS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
HOME = ("patient", "subject")  # parameters whose target is the patient that `timeline` is arranged by


class Sql(NamedTuple):
    """A piece of SQL and the arguments of its question marks, in order."""

    text: str
    args: tuple[object, ...] = ()


DEEPEST = 70  # of the 100 places that SQLite's parser has for what it has not finished; what is around ours takes some
FALSE, TRUE = Sql("(SELECT 0)"), Sql("1")  # a plain 0 leaves SQLite "no query solution" for INDEXED BY


class Compiler:
    """Compiles predicates for one store; aliases are numbered so that nested conditions never clash."""

    def __init__(self, hasher: Hasher) -> None:
        self.hasher = hasher
        self._numbers: Iterator[int] = itertools.count(1)
        self._sets: dict[tuple[str, Predicate], tuple[str, Sql]] | None = None  # what `_flat` gives names to

    def test(self, where: Predicate, types: tuple[str, ...], r: str) -> Sql:
        """`where` as a condition on alias `r` of resource, whose type is one of `types`."""
        found = self._test(where, types, r)
        return found if depth(found.text) <= DEEPEST else self._flat(where, types, r)

    def source(self, where: Predicate, types: tuple[str, ...]) -> Sql | None:
        """A SELECT of the numbers of all rows that match `where` and perhaps others; None if only a walk finds them."""
        found = self._source(where, types)
        return found if found is not None and depth(found.text) <= DEEPEST else None

    def _test(self, where: Predicate, types: tuple[str, ...], r: str) -> Sql:
        match where:
            case And(parts):
                kept = narrowed(parts, types)
                every = join(" AND ", (self._test(part, kept, r) for part in parts), TRUE)
                return every if len(kept) == len(types) else self.of(kept, every, r)
            case Or(parts):
                return join(" OR ", (self._test(part, types, r) for part in parts), FALSE)
            case Not(part):
                inner = self._test(part, types, r)
                return Sql(f"NOT ({inner.text})", inner.args)
            case Is(Param(kind="reference"), (("type", "=", _), ("id", "=", _))) if len(types) > 1:
                return self._named(where, types, r)
            case Is(param, tests):
                return join(" OR ", (self._is(type_, param, tests, r) for type_ in types), FALSE)
            case Chain(param, type_, inner):
                return join(" OR ", (self._chain(source, param, type_, inner, r) for source in types), FALSE)
            case Has(type_, param, inner):
                return self._has(type_, param, inner, r)
            case Of(wanted, inner):
                kept = tuple(type_ for type_ in types if type_ in wanted)
                every = self._test(inner, kept, r)
                return every if len(kept) == len(types) else self.of(kept, every, r)

    def of(self, types: tuple[str, ...], every: Sql, r: str) -> Sql:
        """A condition on `r` that holds for some types only."""
        return join(" AND ", (Sql(f"+{r}.type IN ({marks(types)})", types), every), TRUE) if types else FALSE

    def _source(self, where: Predicate, types: tuple[str, ...]) -> Sql | None:
        match where:
            case And(parts):
                types = narrowed(parts, types)
                return next(filter(None, (self._source(part, types) for part in parts)), None)
            case Or(parts):
                sources = [self._source(part, types) for part in parts]
                if not sources or len(sources) > 300 or any(source is None for source in sources):
                    return None  # SQLite unites 500 SELECTs at most
                return join(" UNION ALL ", (source for source in sources if source), FALSE, wrap=False)
            case Not():
                return None
            case Is(param, tests):
                return self._is_source(param, tests, types)
            case Chain(param, type_, inner):
                return self._chain_source(param, type_, inner, types)
            case Has(type_, param, inner):
                return self._has_source(type_, param, inner, types)
            case Of(wanted, inner):
                kept = tuple(type_ for type_ in types if type_ in wanted)
                return self._source(inner, kept) if kept else Sql("SELECT 0 AS rid")

    def _alias(self) -> str:
        return f"x{next(self._numbers)}"

    def _is(self, type_: str, param: Param, tests: tuple[Test, ...], r: str) -> Sql:
        if tests and tests[0][1] == "in":
            return self._listed(type_, param, tests[0][2], r)
        if param.kind == "id":
            return join(
                " AND ", (Sql(f"{r}.h=?", (self.hasher.resource(type_, value),)) for _, _, value in tests), TRUE
            )
        if param.kind == "updated":
            return join(" AND ", (Sql(f"{r}.updated{OPERATORS[op]}?", (value,)) for _, op, value in tests), TRUE)
        if param.kind in ("rule", "until"):
            return join(" AND ", (Sql(f"{r}.{param.kind}{OPERATORS[op]}?", (value,)) for _, op, value in tests), TRUE)
        found = condition(self.hasher, type_, param, tests) if tests else None
        if found is None:
            return self._plain(type_, param, tests, r)
        x = self._alias()
        return Sql(
            f"EXISTS (SELECT 1 FROM {found.family} {x} WHERE {x}.k=? AND {x}.rid={r}.rid{found.sql.format(x=x)})",
            (found.k, *found.args),
        )

    def _named(self, where: Is, types: tuple[str, ...], r: str) -> Sql:
        """A reference to one resource, from any of several types, with one lookup for all of them."""
        (_, _, type_), (_, _, id_) = where.tests
        keys = tuple(self.hasher.param(source, where.param.code) for source in types)
        x = self._alias()
        sql = f"EXISTS (SELECT 1 FROM link {x} WHERE {x}.rid={r}.rid AND {x}.k IN ({marks(keys)}) AND {x}.target=?)"
        return Sql(sql, (*keys, self.hasher.resource(type_, id_)))

    def _plain(self, type_: str, param: Param, tests: tuple[Test, ...], r: str) -> Sql:
        """What the hashed rows cannot tell: from the JSON of codes and targets, or by the presence of rows."""
        if not tests and param.kind in ("date", "number", "quantity", "string", "uri"):
            family, x = ("text" if param.kind in ("string", "uri") else "span"), self._alias()
            sql = f"EXISTS (SELECT 1 FROM {family} {x} WHERE {x}.k=? AND {x}.rid={r}.rid)"
            return Sql(sql, (self.hasher.param(type_, param.code),))
        path = f'$."{param.code}"'
        if not tests:
            return Sql(f"json_type({r}.plain,?) IS NOT NULL", (path,))
        x = self._alias()
        conditions = [plain_test(self.hasher, x, field, value) for field, _, value in tests]
        every = join(" AND ", conditions, TRUE)
        return Sql(f"EXISTS (SELECT 1 FROM json_each({r}.plain,?) {x} WHERE {every.text})", (path, *every.args))

    def _listed(self, type_: str, param: Param, wanted: tuple[Any, ...], r: str) -> Sql:
        """One of many values: SQLite makes an index of the list once, and looks up what the resource has."""
        if param.kind == "rule":
            if not wanted:
                return FALSE
            return Sql(f"{r}.rule IN ({','.join(str(int(rule)) for (rule,) in wanted)})")
        if param.kind == "id":
            numbers = [self.hasher.resource(type_, id) for (id,) in wanted]
            return Sql(f"{r}.h IN (SELECT value FROM json_each(?))", (json.dumps(numbers),))
        x = self._alias()
        return Sql(
            f"EXISTS (SELECT 1 FROM json_each({r}.plain,?) {x} WHERE {x}.value IN (SELECT value FROM json_each(?)))",
            (f'$."{param.code}"', self.hasher.plain_list(param.kind, wanted)),
        )

    def _listed_source(self, type_: str, param: Param, wanted: tuple[Any, ...]) -> Sql:
        x, j = self._alias(), self._alias()
        if param.kind == "token":
            found = [
                Sql(f"SELECT {x}.rid FROM json_each(?) {j} CROSS JOIN key {x} ON {x}.k={j}.value AND {x}.v=?", one)
                for one in self.hasher.key_lists(type_, param, wanted)
            ]
            return join(" UNION ALL ", found, Sql("SELECT rid FROM key WHERE 0", ()), wrap=False)
        numbers = [self.hasher.resource(type_ if param.kind == "id" else value[0], value[-1]) for value in wanted]
        if param.kind == "id":
            return Sql("SELECT rid FROM resource WHERE h IN (SELECT value FROM json_each(?))", (json.dumps(numbers),))
        return Sql(
            f"SELECT {x}.rid FROM json_each(?) {j} CROSS JOIN link {x} ON {x}.k=? AND {x}.target={j}.value",
            (json.dumps(numbers), self.hasher.param(type_, param.code)),
        )

    def _chain(self, source: str, param: Param, type_: str, inner: Predicate, r: str) -> Sql:
        x, t = self._alias(), self._alias()
        if self._sets is not None and across(inner):
            sql = f"EXISTS (SELECT 1 FROM link {x} WHERE {x}.rid={r}.rid AND {x}.k=? AND {x}.target IN "
            return Sql(f"{sql}(SELECT h FROM {self._set(type_, inner)}))", (self.hasher.param(source, param.code),))
        where = self._test(inner, (type_,), t)
        return Sql(
            f"EXISTS (SELECT 1 FROM link {x} CROSS JOIN resource {t} ON {t}.h={x}.target WHERE {x}.rid={r}.rid "
            f"AND {x}.k=? AND {t}.type=? AND {t}.deleted=0 AND {where.text})",
            (self.hasher.param(source, param.code), type_, *where.args),
        )

    def _has(self, type_: str, param: Param, inner: Predicate, r: str) -> Sql:
        when = dated(inner) if param.code in HOME and self._sets is None else None
        if when is None:
            return self._has_linked(type_, param, inner, r)
        # The dates of one patient are in order: most of what refers to the patient need not be looked at.
        x, t = self._alias(), self._alias()
        k, link = self.hasher.param(type_, when.code), self.hasher.param(type_, param.code)
        where = self._test(inner, (type_,), t)
        found = Sql(
            f"EXISTS (SELECT 1 FROM timeline {x} CROSS JOIN resource {t} ON {t}.rid={x}.rid WHERE {x}.k=? "
            f"AND {x}.home={r}.h AND {x}.low>=? AND {x}.low<=? AND {t}.deleted=0 "
            f"AND EXISTS (SELECT 1 FROM link WHERE k=? AND target={r}.h AND rid={t}.rid) AND {where.text})",
            (k, when.low, when.high, link, *where.args),
        )
        if when.end is None:
            return found
        some = Sql("EXISTS (SELECT 1 FROM span WHERE k=? AND long=1 AND high>=?)", (k, when.end))
        long = join(" AND ", (some, self._has_linked(type_, param, inner, r)), TRUE)
        return join(" OR ", (found, long), FALSE)

    def _has_linked(self, type_: str, param: Param, inner: Predicate, r: str) -> Sql:
        x, t = self._alias(), self._alias()
        if self._sets is not None and across(inner):
            sql = f"EXISTS (SELECT 1 FROM link {x} WHERE {x}.k=? AND {x}.target={r}.h AND {x}.rid IN "
            return Sql(f"{sql}(SELECT rid FROM {self._set(type_, inner)}))", (self.hasher.param(type_, param.code),))
        where = self._test(inner, (type_,), t)
        return Sql(
            f"EXISTS (SELECT 1 FROM link {x} CROSS JOIN resource {t} ON {t}.rid={x}.rid WHERE {x}.k=? "
            f"AND {x}.target={r}.h AND {t}.deleted=0 AND {where.text})",
            (self.hasher.param(type_, param.code), *where.args),
        )

    def _flat(self, where: Predicate, types: tuple[str, ...], r: str) -> Sql:
        """A condition too deep for SQLite's parser: what it nests about other resources is found first, once for each
        such set however often it is named, as a permit is."""
        q, self._sets = self._alias(), {}
        every = self._test(where, types, q)
        sets, self._sets = self._sets.values(), None
        if not sets:
            return self._test(where, types, r)
        named = join(", ", (Sql(f"{name}(h, rid) AS ({sql.text})", sql.args) for name, sql in sets), TRUE, wrap=False)
        base = f"SELECT {q}.rid FROM resource {q} WHERE {q}.type IN ({marks(types)}) AND {q}.deleted=0"
        sql = f"{r}.rid IN (WITH {named.text} {base} AND {every.text})"
        return Sql(sql, (*named.args, *types, *every.args))

    def _set(self, type_: str, inner: Predicate) -> str:
        """The name of the set of the resources of `type_` that match `inner`."""
        assert self._sets is not None
        if (type_, inner) not in self._sets:
            t = self._alias()
            every = self._test(inner, (type_,), t)
            sql = f"SELECT {t}.h, {t}.rid FROM resource {t} WHERE {t}.type=? AND {t}.deleted=0 AND {every.text}"
            self._sets[type_, inner] = f"set{len(self._sets)}", Sql(sql, (type_, *every.args))
        return self._sets[type_, inner][0]

    def _is_source(self, param: Param, tests: tuple[Test, ...], types: tuple[str, ...]) -> Sql | None:
        if param.kind in ("rule", "until"):
            return None
        selects: list[Sql] = []
        found: Condition | None = None
        keys: list[int] = []  # references to one resource: one SELECT for all types
        for type_ in types:
            if tests and tests[0][1] == "in":
                selects.append(self._listed_source(type_, param, tests[0][2]))
                continue
            if param.kind == "id":
                if not tests:
                    return None
                selects.append(Sql("SELECT rid FROM resource WHERE h=?", (self.hasher.resource(type_, tests[0][2]),)))
                continue
            found = condition(self.hasher, type_, param, tests) if tests and param.kind != "updated" else None
            if found is None:
                return None
            if found.family == "link":
                keys.append(found.k)
            else:
                selects.extend(self._ranges(found, tests))
        if keys and found is not None:
            x = self._alias()
            sql = f"SELECT {x}.rid FROM link {x} WHERE {x}.k IN ({marks(tuple(keys))}){found.sql.format(x=x)}"
            selects.append(Sql(sql, (*keys, *found.args)))
        return join(" UNION ALL ", selects, FALSE, wrap=False) if selects else None

    def _ranges(self, found: Condition, tests: tuple[Test, ...]) -> Iterator[Sql]:
        """The index ranges that hold the rows of a condition: wide spans are found by their high end, others by low."""
        x = self._alias()
        sql = f"SELECT {x}.rid FROM {found.family} {x} WHERE {x}.k=?{found.sql.format(x=x)}"
        lows, highs = span_bounds(tests)
        if found.family != "span" or not highs or any(test[1] in ("=", ">", ">=") for test in lows):
            extra = [Sql(f"{x}.low{op}?", (value,)) for _, op, value in highs if op in ("<", "<=")]
            tail = join(" AND ", extra, TRUE, wrap=False) if extra and found.family == "span" else TRUE
            yield Sql(f"{sql} AND {tail.text}", (found.k, *found.args, *tail.args))
            return
        slack = DAY if isinstance(highs[0][2], int) else 0
        near: list[Sql] = []
        for _, op, value in highs:  # of a span that is not wide, low is at most `slack` below high
            if op != "<" and op != "<=":
                near.append(Sql(f"{x}.low>=?", (value - slack,)))
            if op[0] != ">":
                near.append(Sql(f"{x}.low{'<=' if op == '=' else op}?", (value,)))
        bounds = join(" AND ", near, TRUE, wrap=False)
        yield Sql(f"{sql} AND {x}.long=0 AND {bounds.text}", (found.k, *found.args, *bounds.args))
        yield Sql(f"{sql} AND {x}.long=1", (found.k, *found.args))

    def _chain_source(self, param: Param, type_: str, inner: Predicate, types: tuple[str, ...]) -> Sql | None:
        targets = self._rows(inner, type_)
        if targets is None:
            return None
        x, t = self._alias(), self._alias()
        keys = tuple(self.hasher.param(source, param.code) for source in types)
        return Sql(
            f"SELECT {x}.rid FROM resource {t} CROSS JOIN link {x} ON {x}.target={t}.h AND {x}.k IN ({marks(keys)}) "
            f"WHERE {t}.rid IN ({targets.text})",
            (*keys, *targets.args),
        )

    def _has_source(self, type_: str, param: Param, inner: Predicate, types: tuple[str, ...]) -> Sql | None:
        sources = self._rows(inner, type_)
        if sources is None:
            return None
        x, t, s = self._alias(), self._alias(), self._alias()
        return Sql(
            f"SELECT {t}.rid FROM ({sources.text}) {s} CROSS JOIN link {x} ON {x}.rid={s}.rid AND {x}.k=? "
            f"CROSS JOIN resource {t} ON {t}.h={x}.target WHERE {t}.type IN ({marks(types)})",
            (*sources.args, self.hasher.param(type_, param.code), *types),
        )

    def _rows(self, inner: Predicate, type_: str) -> Sql | None:
        """A SELECT of the rows of `type_` that match `inner`, from its own best source, perhaps several times."""
        source = self.source(inner, (type_,))
        if source is None:
            return None
        r, s = self._alias(), self._alias()
        where = self.test(inner, (type_,), r)
        sql = f"SELECT {r}.rid FROM ({source.text}) {s} CROSS JOIN resource {r} ON {r}.rid={s}.rid "
        sql += f"WHERE {r}.type=? AND {r}.deleted=0 AND {where.text}"
        return Sql(sql, (*source.args, type_, *where.args))


def depth(sql: str) -> int:
    """How many places of SQLite's parser a condition takes: 12 for each subquery it is in, 14 for one in a FROM, 3 for
    brackets (measured with SQLite 3.40: 8, 7 and 30 levels are as many as it reads)."""
    deepest = level = 0
    open_: list[int] = []
    before, *pieces = sql.split("(")
    for piece in pieces:
        subquery = piece.startswith("SELECT")
        open_.append(14 if subquery and before.endswith("FROM ") else 12 if subquery else 3)
        level += open_[-1]
        deepest = max(deepest, level)
        for _ in range(piece.count(")")):
            level -= open_.pop() if open_ else 0
        before = piece
    return deepest


def narrowed(parts: Iterable[Predicate], types: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the types that conditions on the type itself leave."""
    for part in parts:
        if isinstance(part, Of):
            types = tuple(type_ for type_ in types if type_ in part.types)
    return types


def plain_test(hasher: Hasher, x: str, field: str, value: str) -> Sql:
    """One test on an element of `resource.plain`: `code \\x01 hash of system` or `Type/id`."""
    name = field.rpartition(".")[2]
    if name == "system":
        return Sql(f"substr({x}.value,instr({x}.value,char(1))+1)=?", (str(hasher.narrow(value)),))
    if name == "code":
        return Sql(f"substr({x}.value,1,instr({x}.value,char(1))-1)=?", (value,))
    if name == "type":
        return (
            Sql(f"({x}.value>=? AND {x}.value<?)", (f"{value}/", f"{value}0"))
            if value
            else Sql(f"instr({x}.value,':')>0")
        )
    if name == "id":
        return Sql(f"substr({x}.value,instr({x}.value,'/')+1)=?", (value,))
    return Sql(f"{x}.value=?", (value,))


def span_bounds(tests: tuple[Test, ...]) -> tuple[list[Test], list[Test]]:
    """The tests on `low` and on `high` of the (last) span of a condition."""
    last = [test for test in tests if not test[0].startswith("3.")]
    return [t for t in last if t[0].endswith("low")], [t for t in last if t[0].endswith("high")]


def join(glue: str, parts: Iterable[Sql], empty: Sql, wrap: bool = True) -> Sql:
    """Several pieces as one, in brackets unless told otherwise; `empty` if there are none."""
    pieces = list(parts)
    if not pieces:
        return empty
    if len(pieces) == 1:
        return pieces[0]
    if wrap and len(pieces) > 16:  # a tree: SQLite takes expressions 1,000 deep, and a OR b OR c is one deeper for each
        half = len(pieces) // 2
        return join(glue, (join(glue, pieces[:half], empty), join(glue, pieces[half:], empty)), empty)
    text = glue.join(piece.text for piece in pieces)
    return Sql(f"({text})" if wrap else text, tuple(arg for piece in pieces for arg in piece.args))


def marks(values: tuple[object, ...]) -> str:
    """As many question marks as there are values."""
    return ",".join("?" * len(values))
