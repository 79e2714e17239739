"""People as the matcher may know them: consent first, then the facts, nothing of those who do not permit it.

Patients joined by `Patient.link` are one person: their records are read together, and one of them leads: candidates are
its. https://hl7.org/fhir/R4/patient.html#links
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from fhir_server.access.judging import POLICY, read_policy
from fhir_server.fhir.references import parse
from fhir_server.matching.facts import Facts
from fhir_server.matching.genes import genes_of
from fhir_server.matching.permission import NO_STUDY, Permission, consented, seen
from fhir_server.matching.reading import facts_of
from fhir_server.matching.records import Grouped, Versioned, by_ids, medications, records
from fhir_server.search.predicate import EVERYTHING, And, Predicate
from fhir_server.server import Server
from fhir_server.terminology.codes import Concept


class Person(NamedTuple):
    """What is known of a person; no facts for studies for which they must not, or need not, be looked at."""

    id: str  # of the Patient that leads
    ids: tuple[str, ...]  # of all Patients that they are, whether these are stored or not
    permission: Permission
    policy: bytes | None  # all Consents, as they stood when they were judged
    deceased: bool
    known: Mapping[str, Facts]  # for each study that Consents name, and (NO_STUDY) for all others
    physician: str = ""  # reference to the responsible one, "" if none is recorded

    def facts(self, study: str) -> Facts | None:
        """What may be known when they are matched with a study; None: they may not be matched with it."""
        return self.known.get(study if study in self.permission.named else NO_STUDY)


async def look(
    server: Server,
    patients: Iterable[Versioned],
    asked: Iterable[Concept],
    studies: Collection[str],
    now: int,
    visible: Predicate = EVERYTHING,
    where: Predicate = EVERYTHING,
) -> list[Person]:
    """The people that these Patients are, each once, and what may be known of them at time `now` (µs).

    Of those whose consent does not permit it only the Consents are read, and nothing more of the deceased. `asked`:
    what Observations the studies ask about. `studies`: which may be asked for. Of Patients that are only joined with
    these what is `visible` adds facts, but all of them deny and die. `where`: what else is asked of what is read."""
    groups = await _joined(server, patients)
    shown = await _visible(server, groups, visible)
    persons = [_person(group, now) for group in groups]
    wanted: dict[str, list[int]] = {}
    for place, person in enumerate(persons):
        for study in (NO_STUDY, *(person.permission.named & set(studies))):
            if not person.deceased and person.permission.of_study(study):
                wanted.setdefault(study, []).append(place)
    genes = genes_of(server.terminology)
    for study, places in wanted.items():
        members = {place: [one for one in groups[place].patients if one[0]["id"] in shown] for place in places}
        replaced = {id for place in places for id in groups[place].replaced}
        ids = [patient["id"] for some in members.values() for patient, _ in some]
        own = {id for place in places for id in groups[place].given} if visible != EVERYTHING else set(ids)
        permitted = And((await seen(server, study), where))
        found: Grouped = await records(server, own & set(ids), asked, permitted)
        if len(own) < len(ids):
            found |= await records(server, set(ids) - own, asked, And((permitted, visible)))
        stored = await medications(server, found)
        for place, some in members.items():
            record = [one for patient, _ in some for one in found.get(patient["id"], ())]
            (leader, version), *others = some
            others = [one for one in others if one[0]["id"] not in replaced]
            facts = facts_of(leader, version, record, genes, stored.get, others)
            persons[place] = persons[place]._replace(known={**persons[place].known, study: facts})
    return persons


class _Group(NamedTuple):
    """The Patients that are one person, as far as they are stored, the leading one first; `replaced`: those of which
    another says that it has taken their place."""

    ids: tuple[str, ...]
    patients: tuple[Versioned, ...]
    replaced: frozenset[str]
    policy: bytes | None
    given: frozenset[str]


async def policies(server: Server, ids: Sequence[str]) -> dict[str, bytes | None]:
    """What is known of the persons that Patients are, by Patient; None of those without Consents."""
    found = await server.store.get_states([f"{POLICY}{id}" for id in ids])
    return {id: found[key][0] if (key := f"{POLICY}{id}") in found else None for id in ids}


async def people_of(server: Server, ids: Sequence[str]) -> list[str]:
    """The ids of all Patients that are the persons that these are, whether they are stored or not."""
    said = await policies(server, ids)
    found = dict.fromkeys(ids)
    for policy in said.values():
        found.update(dict.fromkeys(read_policy(policy)[0].ids if policy else ()))
    return list(found)


async def _joined(server: Server, patients: Iterable[Versioned]) -> list[_Group]:
    given = {patient["id"]: (patient, version) for patient, version in patients}
    said = await policies(server, list(given))
    people: dict[tuple[str, ...], bytes | None] = {}
    for id, policy in said.items():
        people.setdefault(read_policy(policy)[0].ids if policy else (id,), policy)
    others = [id for ids in people for id in ids if id not in given]
    stored = {**given, **(await by_ids(server, "Patient", others) if others else {})}
    return [
        _group(ids, [stored[id] for id in ids if id in stored], policy, given.keys(), server.settings.base)
        for ids, policy in people.items()
    ]


def _group(
    ids: tuple[str, ...], patients: Sequence[Versioned], policy: bytes | None, given: Collection[str], base: str
) -> _Group:
    """First come those that none replaces, of these the active ones, of these the one whose id comes first."""
    replaced = set()
    for patient, _ in patients:
        for link in patient.get("link", ()):
            if link.get("type") == "replaced-by":
                replaced.add(patient["id"])
            elif link.get("type") == "replaces":
                replaced.add(parse(link.get("other", {}).get("reference", ""), base).id)

    def place(one: Versioned) -> tuple[bool, bool, str]:
        return one[0]["id"] in replaced, one[0].get("active") is False, one[0]["id"]

    ordered = tuple(sorted(patients, key=place))
    return _Group(ids, ordered, frozenset(replaced), policy, frozenset(id for id in ids if id in given))


async def _visible(server: Server, groups: Iterable[_Group], visible: Predicate) -> set[str]:
    """The ids of the Patients whose records may be read: those that were given, and what else is visible."""
    shown = {id for group in groups for id in group.given}
    others = [patient["id"] for group in groups for patient, _ in group.patients if patient["id"] not in shown]
    if visible == EVERYTHING:
        return shown | set(others)
    return shown | (set(await by_ids(server, "Patient", others, visible)) if others else set())


def _person(group: _Group, now: int) -> Person:
    bodies = [patient for patient, _ in group.patients]
    carers = (one.get("reference", "") for body in bodies for one in body.get("generalPractitioner", ()))
    return Person(
        id=bodies[0]["id"],
        ids=group.ids,
        permission=consented(bodies, group.policy, now),
        policy=group.policy,
        deceased=any(map(deceased, bodies)),
        known={},
        physician=next(carers, ""),
    )


def deceased(patient: Mapping[str, object]) -> bool:
    """Whether a Patient resource says that the person has died."""
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient
