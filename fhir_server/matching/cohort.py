"""Whom a Group's criteria describe: those who surely meet them, permit matching, and whom the caller may see.

https://hl7.org/fhir/R4/group.html
"""

from fhir_server.access import READ, Caller, permitted
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.matching.criteria import asked
from fhir_server.matching.people import look
from fhir_server.matching.permission import NO_STUDY
from fhir_server.matching.population import population
from fhir_server.matching.records import FACTUAL, patients
from fhir_server.matching.studies import read_group
from fhir_server.search.index import ENROLLMENT
from fhir_server.search.predicate import And, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query

MOST = 1000  # studies that enrol one Group


async def eligible(server: Server, caller: Caller, group: str, where: Predicate) -> list[str]:
    """The ids of the patients, of those that `where` picks, who meet every criterion of Group/[group] by what the
    caller may see of them. Raises FhirError 422 if the criteria cannot be judged."""
    study = await read_group(server, group)
    if study.refused or study.problems:
        problem = study.problems[0]
        raise refuse(422, "not-supported", f"{problem.where}: {problem.text}", problem.path)
    named = Is(ENROLLMENT, (("type", "=", "Group"), ("id", "=", group)))
    enrolling = [row.id for row in (await server.store.search(Query(("ResearchStudy",), named, count=MOST))).rows]
    found: list[str] = []
    now, codes, readable = server.clock(), asked([study]), _readable(caller)
    async for rows in patients(server, where):
        given = [(codec.decode(row.body), row.version) for row in rows]
        people = await look(server, given, codes, enrolling, now, visible=readable, where=readable)
        known = [
            (person.ids, facts)
            for person in people
            if (facts := next(filter(None, map(person.facts, enrolling or [NO_STUDY])), None)) is not None
        ]
        everyone = population([facts for _, facts in known], server.terminology, now)
        met = everyone.of_study(study)
        ids = {id for number, (some, _) in enumerate(known) if everyone.outcome(met, number) == "met" for id in some}
        found += [row.id for row in rows if row.id in ids]
    return found


def _readable(caller: Caller) -> Predicate:
    """What facts are made of, as far as the caller may both search for and read it."""
    searched, read = (permitted(caller, FACTUAL, letter) for letter in ("s", READ))
    return searched if searched == read else And((searched, read))
