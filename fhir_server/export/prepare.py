"""Lines of NDJSON made ready to be written, in a process of its own: decoded, validated, indexed, encoded.

What goes from process to process is msgpack of plain values. https://hl7.org/fhir/R4/nd-json.html
"""

import gc
import multiprocessing
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from fhir_server.fhir.codec import Resource, read_resource
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.interactions.custom import Custom, indexed_by
from fhir_server.interactions.draft import Draft, draft
from fhir_server.search.custom import check
from fhir_server.search.index import indexer, param_of
from fhir_server.search.predicate import Entry, Param
from fhir_server.validation.structure import validator

NAMES = uuid.UUID("6f1d9f4e-3c8e-5b5e-9a52-1b0f0c5d7a11")  # of ids that are made of a file's digest and a line


class Ready(NamedTuple):
    """A resource to be written under an id."""

    line: int
    id: str
    made: Draft


class Refused(NamedTuple):
    """A line that is none, and why."""

    line: int
    issues: tuple[Issue, ...]


@dataclass(frozen=True)
class _Making:
    """What a worker makes drafts with (draft.Drafting)."""

    validate: Callable[[Resource], None]
    index: Callable[[Resource], tuple[Entry, ...]]


_making: _Making | None = None


def begin(base: str, custom: bytes) -> None:
    """Make this process a worker: read the definitions once."""
    global _making
    threading.Thread(target=_end_with_parent, daemon=True).start()
    structure = validator(load())

    def validate(resource: Resource) -> None:
        structure(resource)
        if resource["resourceType"] == "SearchParameter":
            check(load(), resource)

    indexed = indexed_by(msgspec.json.decode(custom, type=Custom))
    _making = _Making(validate, indexer(indexed, base))
    gc.freeze()  # as app.py: collections find nothing in what stays, and no cycles in lines
    gc.set_threshold(50_000, 20, 50)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def prepare(digest: str, first: int, lines: Sequence[bytes], type: str = "", source: str = "") -> bytes:
    """The lines of a file with that digest, from number `first` on, made ready: for `ready`. All must be of a `type`,
    if one is given; `source` is where those come from that do not say it."""
    assert _making is not None
    done: list[Any] = []
    params: dict[Param, int] = {}  # what entries begin with is told once
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            resource, _ = read_resource(line)
            if "id" not in resource:  # the same however often the file is imported
                resource["id"] = str(uuid.uuid5(NAMES, f"{digest}/{number}"))
            id = resource["id"]
            if resource["resourceType"] not in load().resources:
                raise refuse(400, "not-supported", f"R4 has no resource type {resource['resourceType'][:64]!r}.")
            if type and resource["resourceType"] != type:
                text = f"The file was said to hold {type}, this is a resource of type {resource['resourceType']}."
                raise refuse(400, "invalid", text)
            if source and isinstance(resource.get("meta", {}), dict):  # what is none, draft refuses
                resource["meta"] = {"source": source, **resource.get("meta", {})}
            made = draft(_making, resource, id)
            entries = [(params.setdefault(entry[0], len(params)), *entry[1:]) for entry in made.entries]
            done.append((number, id, made.type, made.meta, made.rest, entries))
        except FhirError as error:
            done.append((number, [(one.code, one.diagnostics, one.expression, one.severity) for one in error.issues]))
    return msgspec.msgpack.encode((list(params), done))


def ready(prepared: bytes) -> list[Ready | Refused]:
    """What a worker has made."""
    found: list[Ready | Refused] = []
    told, done = msgspec.msgpack.decode(prepared)
    params = [param_of(code, kind) for code, kind in told]  # the same value for the same parameter: stores look it up
    for row in done:
        if len(row) == 2:
            issues = (Issue(code, text, tuple(at), severity) for code, text, at, severity in row[1])
            found.append(Refused(row[0], tuple(issues)))
        else:
            number, id, type, meta, rest, entries = row
            made = Draft(type, meta, rest, tuple([(params[entry[0]], *entry[1:]) for entry in entries]))
            found.append(Ready(number, id, made))
    return found
