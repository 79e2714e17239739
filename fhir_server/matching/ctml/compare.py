"""Patients against trials by both readings, MatchMiner's and ours, as far as each patient consents. See docs/ctml.md"""

from collections.abc import AsyncIterator
from datetime import date
from typing import NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.dates import DAY
from fhir_server.fhir.outcome import refuse
from fhir_server.matching.criteria import asked
from fhir_server.matching.ctml.bring import documents
from fhir_server.matching.ctml.compat import matches
from fhir_server.matching.ctml.levels import Level
from fhir_server.matching.ctml.words import Unmapped
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.explain import OVERALL
from fhir_server.matching.people import look
from fhir_server.matching.records import by_id, patients
from fhir_server.matching.studies import read_studies
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server

_EPOCH = date(1970, 1, 1).toordinal()


class Line(NamedTuple):
    """A pair that at least one reading does not rule out; or, with `problem`, a study that cannot be compared."""

    study: str
    patient: str = ""
    levels: tuple[str, ...] = ()  # those that MatchMiner would report
    outcome: str = ""  # match, unknown or no-match
    problem: str = ""


async def compared(server: Server, study: str | None) -> AsyncIterator[Line]:
    """Every pair that MatchMiner would match or that may fit here, and every study that CTML cannot say.

    Raises FhirError 404 when the study named does not exist."""
    found = await read_studies(server, by_id((study,)) if study else EVERYTHING)
    if study and not found:
        raise refuse(404, "not-found", f"There is no ResearchStudy/{study}.")
    studies = {one.study.id: one.study for one in found if one.study.open}
    said = {}
    async for id, document in documents(server, tuple(studies)) if studies else _none():
        if isinstance(document, Unmapped):
            yield Line(id, problem=str(document))
        else:
            said[id] = document
    now, seen = server.clock(), set[str]()  # who was compared: joined Patients are one person
    today = date.fromordinal(_EPOCH + now // DAY)
    async for batch in patients(server):
        people = [(codec.decode(row.body), row.version) for row in batch]
        for person in await look(server, people, asked(studies.values()), studies, now):
            if person.id in seen:
                continue
            seen.add(person.id)
            for id, document in said.items():
                facts = person.facts(id)
                if facts is None:
                    continue
                levels = matches(document, facts, server.terminology, today)
                outcome, _ = evaluate_study(studies[id], facts, server.terminology, now)
                if levels or outcome != "not-met":
                    yield Line(id, person.id, tuple(map(_called, levels)), OVERALL[outcome])


async def _none() -> AsyncIterator[tuple[str, Unmapped]]:
    return
    yield


def _called(level: Level) -> str:
    code = {"step": "step_code", "arm": "arm_code", "dose": "level_code"}[level.kind]
    return f"{level.kind} {level.body.get(code, '')}".strip()
