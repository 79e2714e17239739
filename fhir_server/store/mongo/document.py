"""A resource as a MongoDB document: its columns, its body and its index entries in a few typed arrays.

_id "Type/id", r type, i id, v version, u updated, m method, b body
t    the type again, absent when deleted: every search asks for it, so that deleted ones are never found
n    order of creation: the default order, the end of every index
k    packed keys of tokens, references, uris, strings and composites of them (pack.py)
c    the same for compartments: the subject's key alone, and paired with each code and category
d q  dates, and numbers and quantities: {p: packed text fields, lo, hi}
s z  sort keys: lowest value of each parameter, and the highest where it differs
when the highest `date`, for the newest-first index; -infinity when there is none, so that it comes last
x    whole keys of those that were cut in `k`
rule until   what its patients permit, and up to which instant that holds; absent from versions
"""

import os
import threading
import time
from collections.abc import Iterable
from math import inf
from typing import Any

from fhir_server.search.predicate import Entry, Param
from fhir_server.store.mongo.pack import LONGEST, RANGE_NAMES, SHAPES, Shape, alias, cut, pack
from fhir_server.store.seam import Change, Stored

Document = dict[str, Any]

PINS = ("subject", "patient")  # parameters whose key leads the compartment keys
MOST_PAIRS = 64  # a resource with more pins times codes than this has the pair (pin, EVERY) instead
EVERY = "*"
DATE = Param("date", "date")

COLUMNS = {"_id": 0, "r": 1, "i": 1, "v": 1, "u": 1, "m": 1, "b": 1, "large": 1, "rule": 1}


def key_of(type: str, id: str) -> str:
    """The `_id` of a resource."""
    return f"{type}/{id}"


def stored(document: Document) -> Stored:
    """A document (of `resource` or `version`, with COLUMNS) as the value that leaves the store."""
    rule = document.get("rule", 0)
    return Stored(document["r"], document["i"], document["v"], document["u"], document["m"], document["b"], rule)


def columns(change: Change) -> Document:
    """What a resource and its version have in common."""
    return {
        "r": change.type,
        "i": change.id,
        "v": change.version,
        "u": change.updated,
        "m": change.method,
        "b": change.body,
    }


def index_fields(entries: Iterable[Entry]) -> Document:
    """The arrays and sort keys that `entries` make."""
    keys: dict[str, None] = {}
    ranges: dict[str, list[Document]] = {"d": [], "q": []}
    lowest: Document = {}
    highest: Document = {}
    pins: dict[str, None] = {}
    codes: dict[str, None] = {}
    whole: list[str] = []
    for entry in entries:
        param = entry[0]
        shape = SHAPES[param]
        key = pack(shape, entry)
        if len(key) > LONGEST:
            whole.append(key)
            key = cut(key)
        if shape.family == "k":
            keys[key] = None
            if shape.paired:
                codes[key] = None
        else:
            ranges[shape.family].append(_range(shape, key, entry))
        if shape.sort:
            value = entry[shape.sort]
        elif shape.kind == "reference":
            if entry[2]:
                if entry[3] or entry[4]:
                    keys[alias(param.code, entry[1], entry[2])] = None
                if param.code in PINS:
                    pins[pin(param.code, entry[1], entry[2])] = None
            value = f"{entry[1]}\t{entry[2] or entry[3]}"
        else:
            continue
        if lowest.setdefault(shape.prefix, value) != value:
            _widen(lowest, highest, shape.prefix, value)
    made: Document = {"k": list(keys), "s": lowest, "c": _compartment(pins, codes), **ranges}
    date = SHAPES[DATE].prefix
    made["when"] = highest.get(date, lowest.get(date, -inf))
    made["z"] = highest
    made["x"] = whole
    return made


def pin(code: str, type: str, id: str) -> str:
    """The compartment key of a reference."""
    return f"{code}@{id}\t{type}"


def pair(pinned: str, code: str) -> str:
    """The compartment key of a reference and a token of the same resource."""
    return f"{pinned}\n{code}"


def _compartment(pins: Iterable[str], codes: dict[str, None]) -> list[str]:
    pinned = list(pins)
    if len(pinned) * len(codes) > MOST_PAIRS:
        return pinned + [pair(one, EVERY) for one in pinned]
    return pinned + [pair(one, code) for one in pinned for code in codes]


def _range(shape: Shape, key: str, entry: Entry) -> Document:
    item: Document = {"p": key}
    for (low, high), (low_name, high_name) in zip(shape.ranges, RANGE_NAMES, strict=False):
        item[low_name], item[high_name] = entry[low], entry[high]
    return item


def _widen(lowest: Document, highest: Document, name: str, value: Any) -> None:
    have = lowest[name]
    lowest[name], highest[name] = min(have, value), max(highest.get(name, have), value)


_lock = threading.Lock()
_process = int.from_bytes(os.urandom(2), "big") & 0xFFF
_last = 0


def next_number() -> int:
    """A number greater than all before it in this process, and by its clock than those of others.

    Microseconds since 1970 (51 bits until 2041), then 12 bits drawn by each process so that two do not meet.
    """
    global _last
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000)
        return (_last << 12) | _process
