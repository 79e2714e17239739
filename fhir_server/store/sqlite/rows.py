"""From index entries to narrow integer rows, and from the tests of a predicate to conditions on such rows.

Wide text rows make an index four times as large as the data. Here a token row is three integers: a 64-bit keyed hash of
parameter and code, the resource's number, a hash of the system. The key is random per store and never leaves it, so
nobody can construct two values that collide; by chance it takes 5 billion distinct values for one collision.

Four families of rows hold every kind of entry:

    key    (k, rid, v)                          token, foreign reference, composites of tokens
    link   (k, target, rid)                     reference to a resource of this server
    span   (k, rid, low, high, v, u, low2, high2)  date, number, quantity, composites that end in one
    text   (k, rid, norm, exact, v)             string, uri, composites that end in one

`k` hashes type, parameter and, for token and composite, the code (first component's code); `v` and `u` hash what else
can be asked for: v = first system | second system, u = unit code | unit text, 31 bits each.
"""

import json
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from fhir_server.search.predicate import Entry, Param, Test

DAY = 86_400_000_000
LISTS = 8  # long lists of values that are kept as SQL is given them: 25,000 codes are 3 MB with what they were made of
CACHED = 200  # characters of a text whose hash is remembered: the caches must not grow with what clients send


class Condition(NamedTuple):
    """Where the rows of a predicate are: a family, `k`, and SQL on the other columns with its arguments.

    `exact` is False when `k` could not be computed (a token asked for by system alone)."""

    family: str
    k: int
    sql: str = ""
    args: tuple[Any, ...] = ()


class Hasher:
    """Keyed 64-bit and 31-bit hashes of text, remembered for the values that recur."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._remembered = lru_cache(maxsize=100_000)(self._wide)
        self.param = lru_cache(maxsize=20_000)(self._param)
        self._tokens = lru_cache(maxsize=20_000)(self._token)
        self._pairs = lru_cache(maxsize=5_000)(self._pair)
        self.key_lists = lru_cache(maxsize=LISTS)(self._key_lists)
        self.plain_list = lru_cache(maxsize=LISTS)(self._plain_list)

    def wide(self, text: str) -> int:
        """64 bits, signed."""
        return self._remembered(text) if len(text) <= CACHED else self._wide(text)

    def narrow(self, text: str) -> int:
        """31 bits; 0 for "", so that an absent system reads as one."""
        return self.wide(text) & 0x7FFFFFFF or 1 if text else 0

    def _wide(self, text: str) -> int:
        digest = blake2b(_bytes(text), digest_size=8, key=self._key).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _param(self, type: str, code: str) -> int:
        """48 bits: the number of a parameter of a type."""
        return self._wide(f"{type}.{code}") >> 17

    def resource(self, type: str, id: str) -> int:
        """The number by which references name a resource."""
        return self.wide(f"{type}/{id}")

    def token(self, type: str, code: str, system: str, value: str) -> tuple[int, int]:
        """`k` and `v` of a token row: most tokens recur."""
        remembered = self._tokens if len(system) + len(value) <= CACHED else self._token
        return remembered(type, code, system, value)

    def _token(self, type: str, code: str, system: str, value: str) -> tuple[int, int]:
        return self.wide(f"{type}.{code}={value}"), self.narrow(system)

    def pair(self, type: str, code: str, value: tuple[str, ...]) -> tuple[int, int]:
        """`k` and `v` of a composite of two tokens: systems and codes in turn."""
        remembered = self._pairs if sum(map(len, value)) <= CACHED else self._pair
        return remembered(type, code, value)

    def _pair(self, type: str, code: str, value: tuple[str, ...]) -> tuple[int, int]:
        system, one, other, two = value
        return self.wide(f"{type}.{code}={one}\x01{two}"), self.narrow(system) << 31 | self.narrow(other)

    def code(self, type: str, param: Param, *codes: str) -> int:
        """The `k` of a token or composite row."""
        return self.wide(f"{type}.{param.code}={chr(1).join(codes)}")

    def _key_lists(self, type: str, param: Param, wanted: tuple[tuple[str, str], ...]) -> tuple[tuple[str, int], ...]:
        """For the tokens (system, code) of each system: the `k` of all of them as JSON, in the order of the index, so
        that neighbours lie on one page; and their `v`."""
        by_system: dict[int, set[int]] = {}
        begun = blake2b(_bytes(f"{type}.{param.code}="), digest_size=8, key=self._key)
        for system, code in wanted:
            rest = begun.copy()  # as `code` makes it, in a third of the time
            rest.update(_bytes(code))
            number = int.from_bytes(rest.digest(), "big", signed=True)
            by_system.setdefault(self.narrow(system), set()).add(number)
        return tuple((json.dumps(sorted(keys)), system) for system, keys in by_system.items())

    def _plain_list(self, kind: str, wanted: tuple[tuple[str, ...], ...]) -> str:
        """The values as `resource.plain` has them, as JSON: of tokens (system, code), of references (type, id)."""
        if kind != "token":
            return json.dumps(["/".join(value) for value in wanted])
        numbers = {system: self.narrow(system) for system, _ in wanted}
        return json.dumps([f"{code}\x01{numbers[system]}" for system, code in wanted])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def row(hasher: Hasher, type: str, entry: Entry) -> tuple[str, tuple[Any, ...]]:
    """The family and the columns (without the resource's number) of one entry of a resource of `type`."""
    param: Param = entry[0]
    kind = param.kind
    if kind == "token":
        return "key", hasher.token(type, param.code, entry[1], entry[2])
    if kind == "reference":
        if entry[2]:
            return "link", (hasher.param(type, param.code), hasher.resource(entry[1], entry[2]))
        return "key", (hasher.code(type, param, entry[3]), hasher.narrow(entry[4]))
    if kind in ("date", "number"):
        return "span", (hasher.param(type, param.code), entry[1], entry[2], 0, 0, 0, 0)
    if kind == "quantity":
        _, low, high, system, code, unit = entry
        k = hasher.param(type, param.code)
        return "span", (k, low, high, hasher.narrow(system), _unit(hasher, code, unit), 0, 0)
    if kind == "string":
        return "text", (hasher.param(type, param.code), entry[1], entry[2], 0)
    if kind == "uri":
        return "text", (hasher.param(type, param.code), entry[1], "", 0)
    return _composite_row(hasher, type, param, entry)


def _composite_row(hasher: Hasher, type: str, param: Param, entry: Entry) -> tuple[str, tuple[Any, ...]]:
    kind = param.kind
    if kind == "token$token":
        return "key", hasher.pair(type, param.code, entry[1:])
    if kind.startswith("reference"):
        _, target, id, url, _, system, code = entry
        return "key", (hasher.code(type, param, f"{target}/{id}" if id else url, code), hasher.narrow(system))
    k, v = hasher.token(type, param.code, entry[1], entry[2])
    v <<= 31
    if kind == "token$string":
        _, _, _, norm, exact = entry
        return "text", (k, norm, exact, v)
    low, high = entry[3], entry[4]
    if kind == "token$quantity":
        _, _, _, _, _, system, code, unit = entry
        return "span", (k, low, high, v | hasher.narrow(system), _unit(hasher, code, unit), 0, 0)
    low2, high2 = entry[5:] or (0, 0)
    return "span", (k, low, high, v, 0, low2, high2)


def _unit(hasher: Hasher, code: str, unit: str) -> int:
    return hasher.narrow(code) << 31 | hasher.narrow(unit)


def is_long(low: float, high: float) -> bool:
    """Whether a span is too wide to be found by its low end: over a day for dates, not a point for numbers."""
    return high - low > DAY if isinstance(low, int) else high > low


def condition(hasher: Hasher, type: str, param: Param, tests: tuple[Test, ...]) -> Condition | None:
    """Where the rows are that meet all tests; None when the hashes cannot tell (see `plain` in schema.py)."""
    if any(operator == "in" for _, operator, _ in tests):
        return None
    if param.kind == "reference":
        return _reference_condition(hasher, type, param, tests)
    parts = param.kind.split("$")
    wanted = {field: value for field, operator, value in tests if operator == "="}
    pinned: set[str] = set()  # fields that `k` already decides
    family = "text" if parts[-1] in ("string", "uri") else "key" if parts[-1] in ("token", "reference") else "span"
    codes = [f"{n}.code" if len(parts) > 1 else "code" for n, part in enumerate(parts, 1) if part == "token"]
    if parts[0] == "reference":
        name = wanted.get("1.url") or "/".join(filter(None, (wanted.get("1.type"), wanted.get("1.id"))))
        if (not wanted.get("1.url") and ("1.id" not in wanted or "1.type" not in wanted)) or "2.code" not in wanted:
            return None
        k = hasher.code(type, param, name, wanted["2.code"])
        pinned |= {"1.url", "1.type", "1.id", "1.version", "2.code"}
    elif codes:
        if any(code not in wanted for code in codes):
            return None
        k = hasher.code(type, param, *(wanted[code] for code in codes))
        pinned |= set(codes)
    else:
        k = hasher.param(type, param.code)
    sql: list[str] = []
    args: list[Any] = []
    for field, operator, value in tests:
        if field not in pinned:
            text, values = _column(hasher, param.kind, field, operator, value)
            sql.append(text)
            args.extend(values)
    return Condition(family, k, "".join(f" AND {text}" for text in sql), tuple(args))


def _reference_condition(hasher: Hasher, type: str, param: Param, tests: tuple[Test, ...]) -> Condition | None:
    wanted = {field: value for field, operator, value in tests if operator == "="}
    if len(wanted) != len(tests):
        return None
    if "id" in wanted and "type" in wanted and wanted.keys() <= {"id", "type"}:
        k = hasher.param(type, param.code)
        return Condition("link", k, " AND {x}.target=?", (hasher.resource(wanted["type"], wanted["id"]),))
    if "url" in wanted and wanted.keys() <= {"url", "version"}:
        k = hasher.code(type, param, wanted["url"])
        version = (hasher.narrow(wanted["version"]),) if "version" in wanted else ()
        return Condition("key", k, " AND {x}.v=?" if version else "", version)
    return None


OPERATORS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _column(hasher: Hasher, kind: str, field: str, operator: str, value: Any) -> tuple[str, tuple[Any, ...]]:
    """SQL on one column; `{x}` stands for the row's alias."""
    position, _, name = field.rpartition(".")
    last = position in ("", "2")
    if name in ("low", "high"):
        return f"{{x}}.{name}{'2' if position == '3' else ''}{OPERATORS[operator]}?", (value,)
    if name in ("norm", "exact", "uri"):
        return _text_test("norm" if name == "uri" else name, operator, value)
    if operator != "=":
        raise ValueError(f"{field} {operator} cannot be asked of the index")
    if name == "code":
        return "({x}.u>>31)=?", (hasher.narrow(value),)
    if name == "unit":
        return "({x}.u&2147483647)=?", (hasher.narrow(value),)
    if kind == "token":
        return "{x}.v=?", (hasher.narrow(value),)
    if last:
        return "({x}.v&2147483647)=?", (hasher.narrow(value),)
    return "({x}.v>>31)=?", (hasher.narrow(value),)


def _text_test(column: str, operator: str, value: str) -> tuple[str, tuple[Any, ...]]:
    if operator == "prefix":
        return f"({{x}}.{column}>=? AND {{x}}.{column}<?)", (value, value + "\U0010ffff")
    if operator == "suffix":
        return f"substr({{x}}.{column},-?)=?" if value else "1", (len(value), value) if value else ()
    if operator == "contains":
        return f"instr({{x}}.{column},?)>0", (value,)
    return f"{{x}}.{column}{OPERATORS[operator]}?", (value,)
