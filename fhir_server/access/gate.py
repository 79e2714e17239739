"""The gate before the participant: which genomic reports are not theirs to see yet. docs/genomics.md

When a report arrives, a Task asks the ordering physician to look at it (review.py). Until that Task is completed, its
time is over, or the participant chose to be told of results, the report is *held*: it, the Observations that it
reports, and whatever refers to one of these. What is held carries the number of its rule with a minus (rules.py), and
whoever asks as a participant, or for one, asks for rows without. https://hl7.org/fhir/R4/diagnosticreport.html
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from fhir_server.access.facts import data_class, references, target
from fhir_server.access.statements import FOREVER
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.search.predicate import ID, And, Is, Of, Or, Param, Predicate
from fhir_server.store.seam import Change, Query, Stored, Tx

KIND, REVIEW = "https://participation.example/fhir/CodeSystem/task-kind", "review-report"
PREFIX = "review-"  # of the ids of review Tasks: clients' own ids never count
REPORTED = frozenset({"final", "amended", "corrected", "appended"})
UNFINISHED = ("registered", "partial", "preliminary")
PAIR = ("ResearchSubject", "GuidanceResponse", "Task")  # what the matcher writes of a pair, under one id
CANDIDATE = "match-"  # a ResearchSubject has the id of the GuidanceResponse with its reasons (matching/candidates.py)
NEVER = frozenset({"Patient", "Consent"})  # participants always see themselves, and what they said
CHUNK = 500

_STATUS, _CODE = Param("status", "token"), Param("code", "token")
_MEMBERS = Is(Param("has-member", "reference"))
# Among what is about a patient: the Tasks of the gate, reports that are not finished, and what the matcher concluded.
ASKED: Predicate = Or(
    (
        Of(("Task",), Is(_CODE, (("system", "=", KIND), ("code", "=", REVIEW)))),
        Of(("DiagnosticReport",), Or(tuple(Is(_STATUS, (("code", "=", status),)) for status in UNFINISHED))),
    )
)


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """A report that is held until an instant (µs), and the references of all that is held with it, its own included.
    `unasked`: it was deleted before anybody was asked to review what it said last."""

    report: str
    until: int
    held: tuple[str, ...]
    unasked: bool = False


def is_genomic(report: Resource) -> bool:
    """Whether a DiagnosticReport tells of genes."""
    return data_class(report).endswith("-genomic")


def is_unfinished(report: Resource) -> bool:
    """Whether the laboratory has not finished it."""
    return report.get("status") in UNFINISHED


def review_id(report: Resource) -> str:
    """The id of the Task that asks for a review of what a report says now: another for every content, whatever its
    meta."""
    content = codec.encode({key: value for key, value in report.items() if key != "meta"})
    return PREFIX + hashlib.sha256(content).hexdigest()[:40]


def local(reference: str) -> str:
    """`Type/id` of a reference: an address may mean what is here."""
    return target(reference, permit=False)


def named(value: Any) -> Iterator[str]:
    """All that a part of a resource refers to, as `Type/id`."""
    return map(local, references(value))


def touches(resource: Resource, held: frozenset[str]) -> bool:
    """Whether a resource is one that is held, or refers to one."""
    if resource["resourceType"] in NEVER:
        return False
    return f"{resource['resourceType']}/{resource.get('id')}" in held or not held.isdisjoint(named(resource))


def begins(change: Change) -> bool:
    """Whether a write may begin or end a hold: a review, a report that is not finished."""
    if change.type == "Task":
        return change.id.startswith(PREFIX)
    return change.type == "DiagnosticReport" and any(e[0] == _STATUS and e[2] in UNFINISHED for e in change.entries)


def leads(change: Change, held: frozenset[str]) -> bool:
    """Whether more, or less, may be held for a write, where this is."""
    if not held or change.type not in ("DiagnosticReport", "Observation"):
        return False
    if change.type == "Observation" and all(entry[0] != _MEMBERS.param for entry in change.entries):
        return False
    return touches(codec.decode(change.body), held)


async def holds(
    tx: Tx,
    rows: Iterable[Stored],
    before: Iterable[Hold],
    at_once: Callable[[Resource], bool],
    now: int,
    opens: int,
) -> tuple[Hold, ...]:
    """What is held of a person at `now` (µs): `rows` are all of theirs that ASKED finds, `before` is what was held.

    `at_once`: whether the person chose to see a report when it arrives; `opens`: until when (µs) what a report named
    waits that was deleted before anybody was asked to review it."""
    tasks: dict[str, Resource] = {}
    reports: dict[str, Resource | None] = {}
    for row in rows:
        body = codec.decode(row.body)
        if row.type == "DiagnosticReport" and is_genomic(body):
            reports[row.id] = body
        elif row.id.startswith(PREFIX):
            tasks[row.id] = body
            reports.setdefault(_focus(body), None)
    found: list[Hold] = []
    for id in sorted(reports):
        report = reports[id] or await _read(tx, id)
        if report is not None and (until := _until(report, tasks)) > now and (until == FOREVER or not at_once(report)):
            reviews = (f"Task/{task}" for task, body in tasks.items() if _focus(body) == id)
            found.append(Hold(id, until, tuple(sorted({*reviews, *await _reported(tx, report)}))))
    reviewed = {_focus(task) for task in tasks.values() if task.get("status") == "completed"}
    for one in {one.report: one for one in before}.values():
        if now >= one.until or await _read(tx, one.report) is not None:
            continue  # else it was deleted: what it named is held on
        if one.until == FOREVER or one.unasked:  # what was reviewed was an earlier content
            found.append(msgspec.structs.replace(one, until=min(one.until, opens), unasked=True))
        elif one.report not in reviewed:
            found.append(one)
    return tuple(found)


def grounds(guidance: Resource) -> frozenset[str]:
    """What a conclusion of the matcher refers to, conclusions apart."""
    return frozenset(one for one in named(guidance) if not one.partition("/")[2].startswith(CANDIDATE))


def with_candidates(found: tuple[Hold, ...], pairs: Mapping[str, frozenset[str]]) -> tuple[Hold, ...]:
    """The same with the trial candidates that rest on what is held; `pairs`: grounds by the ids of conclusions."""

    def more(hold: Hold) -> Hold:
        held = frozenset(hold.held)
        resting = (f"{type}/{id}" for id, refs in pairs.items() if refs & held for type in PAIR)
        return msgspec.structs.replace(hold, held=tuple(sorted(held.union(resting))))

    return tuple(map(more, found))


def moves(holds: Iterable[frozenset[str]], id: str, refs: frozenset[str]) -> bool:
    """Whether a conclusion with these grounds is to be held otherwise than it is; `holds`: what each report holds."""
    return any(refs.isdisjoint(held) is (f"GuidanceResponse/{id}" in held) for held in holds)


def _focus(task: Resource) -> str:
    return local(task.get("focus", {}).get("reference", "")).removeprefix("DiagnosticReport/")


def _until(report: Resource, tasks: Mapping[str, Resource]) -> int:
    """When the gate opens by itself; 0 if it is open."""
    if is_unfinished(report):
        return FOREVER
    task = tasks.get(review_id(report))
    end = (task or {}).get("restriction", {}).get("period", {}).get("end")
    return 0 if task is None or task["status"] == "completed" or end is None else bounds(end)[0]


async def _read(tx: Tx, id: str) -> Resource | None:
    row = await tx.read("DiagnosticReport", id)
    return codec.decode(row.body) if row is not None and not row.deleted else None


async def _reported(tx: Tx, report: Resource) -> set[str]:
    """A report, its results, and their members."""
    found = {f"DiagnosticReport/{report['id']}"}
    waiting = set(named(report.get("result")))
    while waiting:
        found |= waiting
        ids = sorted(one.partition("/")[2] for one in waiting if one.startswith("Observation/"))
        waiting = set()
        for at in range(0, len(ids), CHUNK):
            where = And((Is(ID, (("id", "in", tuple((id,) for id in ids[at : at + CHUNK])),)), _MEMBERS))
            page = await tx.search(Query(("Observation",), where, count=CHUNK))
            waiting |= {one for row in page.rows for one in named(codec.decode(row.body).get("hasMember"))}
        waiting -= found
    return found
