"""Whom a study that changed may concern, before everybody is compared with it. docs/decisions/0013-*.md

The process that follows the feed keeps what it has seen of everybody (crowd.py). At first that is nobody: while there
is nothing else to do it gets to know those it has not judged since it began.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from fhir_server.fhir import codec
from fhir_server.matching.affected import naming
from fhir_server.matching.criteria import Leaf, Study
from fhir_server.matching.crowd import Crowd
from fhir_server.matching.judge import Scope
from fhir_server.matching.kinds import HasDiagnosis, Holds
from fhir_server.matching.people import Person, look
from fhir_server.matching.places import every_place
from fhir_server.matching.population import day
from fhir_server.matching.projection import place
from fhir_server.matching.records import PEOPLE
from fhir_server.search.index import param_of
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import REQUESTED, Server
from fhir_server.store.seam import Position, Query, Store, Tx

STUDY = param_of("study", "reference")
EXPUNGED = "match/expunged"  # State whose version counts what was removed for good
FEW = 10  # studies that change at once and are asked for whom they concern
DIAGNOSIS = Leaf("", HasDiagnosis("", ()), False)  # what the next study will look at, whatever else it does

log = logging.getLogger("fhir_server")


@dataclass(slots=True)
class Known:
    """Everybody, as far as they were seen; and who is to be judged first, with which studies."""

    crowd: Crowd
    seen: set[str] = field(default_factory=set)  # ids of Patients that were looked at, while others are looked for
    position: Position | None = None  # up to where those who were not seen were looked for
    whole: bool = False  # nobody is left to be looked for
    expunged: int = -1  # how often something was removed for good when this was begun
    first: list[tuple[tuple[str, ...], list[str]]] = field(default_factory=list)


_known: WeakKeyDictionary[Store, Known] = WeakKeyDictionary()


def known_to(server: Server) -> Known:
    """What is known; nothing after the code systems became others, by which it was understood."""
    known = _known.get(server.store)
    if known is None or known.crowd.terminology is not server.terminology:
        known = _known[server.store] = Known(Crowd(server.terminology))
    return known


def forget(server: Server) -> None:
    """Let go of everybody."""
    _known.pop(server.store, None)


async def removing(tx: Tx) -> None:
    """To be called in each transaction that removes for good what facts may be made of: no change tells of it."""
    before = await tx.get_state(EXPUNGED)
    await tx.put_state(EXPUNGED, b"", before[1] if before else 0)


def hear(server: Server, expunged: int) -> None:
    """Let go of everybody if something was removed for good since they were looked at."""
    if known_to(server).expunged != expunged:
        forget(server)
        known_to(server).expunged = expunged


def learning(server: Server, studies: Mapping[str, Study], whole: bool) -> Callable[[Person], None]:
    """What keeps of everybody who is judged what some studies look at; `whole`: they are all there are."""
    found = every_place(study for study in studies.values() if study.open)
    # Expressions look at whole Patients: too much to keep, and to ask.
    places = {at: leaf for at, leaf in found.items() if not isinstance(leaf.test, Holds)}
    places[place(DIAGNOSIS)] = DIAGNOSIS
    if whole:
        known_to(server).crowd.only(places)

    def learn(person: Person) -> None:
        known = known_to(server)
        known.crowd.learn(person, places, day(server.clock()))
        if not known.whole:
            known.seen.update(person.ids)

    return learn


async def put_first(server: Server, every: Mapping[str, Study], changed: tuple[str, ...]) -> None:
    """Judge first those whom changed studies may concern, and who are candidates of them."""
    known, today = known_to(server), day(server.clock())
    studies = [every[id] for id in changed if id in every and every[id].open]
    room = known.crowd.size // 2 - sum(len(ids) for _, ids in known.first)
    found: dict[str, None] = {}
    for study in studies if len(studies) <= FEW else ():  # the lease is not to be lost over it
        found.update(dict.fromkeys(await asyncio.to_thread(known.crowd.likely, study, today, room)))
    if len(found) > room:  # most people are as soon judged in their turn
        found = {}
    about = naming(STUDY, "ResearchStudy", changed)
    async for row in server.store.scan(Query(("ResearchSubject",), about)):
        reference = codec.decode(row.body).get("individual", {}).get("reference", "")
        found[reference.removeprefix("Patient/")] = None
    log.info("%d studies changed: of %d people %d come first", len(changed), known.crowd.size, len(found))
    known.first = [one for one in known.first if one[0] != changed]
    if found:
        known.first.append((changed, list(found)))


async def look_around(server: Server, scope: Scope) -> bool:
    """Get to know a few people more. False if there are none, or if requests come: there is no hurry."""
    known = known_to(server)
    if server.requested.get(REQUESTED):
        return False
    page = await server.store.search(Query(("Patient",), EVERYTHING, count=PEOPLE, after=known.position))
    new = [(codec.decode(row.body), row.version) for row in page.rows if row.id not in known.seen]
    for person in await look(server, new, scope.asked, scope.studies.keys(), server.clock()):
        scope.looked(person)
    known.position, known.whole = page.next, page.next is None or known.crowd.full
    if known.whole:
        known.seen.clear()
    return not known.whole
