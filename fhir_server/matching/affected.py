"""Whom a change concerns: the patients to be judged again, and the studies whose criteria may be others now."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.references import parse
from fhir_server.matching.candidates import PREFIX
from fhir_server.matching.criteria import DEPTH
from fhir_server.matching.people import people_of
from fhir_server.matching.records import MEDICATIONS, PATIENT, by_ids
from fhir_server.search.index import CRITERIA, ENROLLMENT, param_of
from fhir_server.search.predicate import EVERYTHING, Is, Param, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Page, Query, Stored

RELEVANT = frozenset({"Patient", "ResearchStudy", "Group", "Medication", *PATIENT})
MOST = 1000  # studies of a Group, and patients of a Medication, looked at

Find = Callable[[Query], Awaitable[Page]]


class Affected(NamedTuple):
    """Ids of patients and of studies."""

    patients: dict[str, None]
    studies: dict[str, None]


async def affected(server: Server, rows: Iterable[Stored]) -> Affected:
    """Whom these versions, just written, concern: also whom the versions before them were about."""
    found = Affected({}, {})
    rows = [row for row in rows if row.type in RELEVANT]
    own = await _own(server, rows)
    for row in rows:
        if (row.id, row.version) in own:
            continue
        if row.type == "Patient":
            found.patients.update(dict.fromkeys([row.id, *await _links(server, row)]))
        elif row.type == "ResearchStudy":
            found.studies[row.id] = None
        elif row.type == "Group":
            found.studies.update(dict.fromkeys(await enrolling(server.store.search, row.id)))
        elif row.type == "Medication":
            found.patients.update(dict.fromkeys(await _given(server, row.id)))
        else:
            for body in await _versions(server, row):
                target = parse(body.get(PATIENT[row.type], {}).get("reference", ""), server.settings.base)
                if target.type == "Patient":
                    found.patients[target.id] = None
    found.patients.update(dict.fromkeys(await people_of(server, list(found.patients))))
    return found


async def _own(server: Server, rows: Iterable[Stored]) -> set[tuple[str, int]]:
    """The ResearchSubjects, by id and version, that the matcher wrote itself: nothing follows from them."""
    subjects = [row for row in rows if row.type == "ResearchSubject" and row.id.startswith(PREFIX)]
    made = await by_ids(server, "Provenance", (row.id for row in subjects))
    named = {target["reference"] for body, _ in made.values() for target in body["target"] if "reference" in target}
    return {(row.id, row.version) for row in subjects if f"ResearchSubject/{row.id}/_history/{row.version}" in named}


async def _versions(server: Server, row: Stored) -> list[Resource]:
    """What a version says and what the one before it said: it may have been about another patient."""
    bodies = [row.body] if row.body else []
    if row.version > 1:
        before = await server.store.read(row.type, row.id, EVERYTHING, row.version - 1)
        bodies += [before.body] if before is not None and before.body else []
    return [codec.decode(body) for body in bodies]


async def enrolling(find: Find, group: str) -> dict[str, Stored]:
    """The studies, by id, that enroll by a Group, or by one that refers to it."""
    found: dict[str, Stored] = {}
    seen, open_ = {group}, [group]
    for _ in range(DEPTH):
        studies = await find(Query(("ResearchStudy",), naming(ENROLLMENT, "Group", open_), count=MOST))
        found.update((row.id, row) for row in studies.rows)
        above = await find(Query(("Group",), naming(CRITERIA, "Group", open_), count=MOST))
        open_ = [row.id for row in above.rows if row.id not in seen]
        seen.update(open_)
        if not open_:
            break
    return found


async def _links(server: Server, row: Stored) -> list[str]:
    """The Patients that a version of a Patient and the one before it are joined with."""
    links = [link for body in await _versions(server, row) for link in body.get("link", ())]
    named = (parse(link.get("other", {}).get("reference", ""), server.settings.base) for link in links)
    return [target.id for target in named if target.type == "Patient"]


async def _given(server: Server, medication: str) -> list[str]:
    """The patients who were given a stored Medication."""
    where = naming(param_of("medication", "reference"), "Medication", (medication,))
    page = await server.store.search(Query(MEDICATIONS, where, count=MOST))
    found = (codec.decode(row.body).get("subject", {}).get("reference", "") for row in page.rows)
    return [parse(text, server.settings.base).id for text in found]


def naming(param: Param, type: str, ids: Sequence[str]) -> Predicate:
    """Resources that refer to one of these by a parameter."""
    return Is(param, (("type,id", "in", tuple((type, id) for id in ids)),))
