"""Match patients with studies and write the candidates that follow. See docs/matching.md."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fhir_server.fhir.codec import decode
from fhir_server.fhir.outcome import refuse
from fhir_server.matching.criteria import Study, asked
from fhir_server.matching.judge import Case, Scope, judge
from fhir_server.matching.records import by_id, by_ids, patients
from fhir_server.matching.settle import settle
from fhir_server.matching.studies import read_studies
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server

ATTEMPTS = 5


@dataclass(slots=True)
class MatchSummary:
    """What a run did. The counts of candidates are those that stand after it, new or not."""

    studies: int = 0  # open for matching
    patients: int = 0  # people: Patients joined by `link` are one
    permitted: int = 0  # who are alive and whose consent permits matching
    pairs: int = 0  # evaluated
    candidates: int = 0
    potential: int = 0
    retracted: int = 0  # candidates of earlier runs that no longer fit: ineligible
    withdrawn: int = 0  # candidates of earlier runs without consent today
    written: int = 0  # pairs created or changed
    unchanged: int = 0  # pairs that were stored like this already
    untouched: int = 0  # pairs that a person keeps
    unfinished: int = 0  # patients whose record kept changing under the run
    refused: list[tuple[str, str]] = field(default_factory=list)  # study id, why it was not matched
    problems: list[tuple[str, str]] = field(default_factory=list)  # study id, what a curator must mend


async def match(server: Server, study_id: str | None = None, patient_id: str | None = None) -> MatchSummary:
    """Match all patients with all studies, or the ones named, and write what changed.

    Raises FhirError 404 when the study or patient named does not exist.
    """
    summary = MatchSummary()
    found = await read_studies(server, by_id((study_id,)) if study_id else EVERYTHING)
    studies = [registered.study for registered in found]
    if study_id and not studies:
        raise refuse(404, "not-found", f"There is no ResearchStudy/{study_id}.")
    for study in studies:
        _note(study, summary)
    scope = Scope({study.id: study for study in studies}, study_id is None, asked(studies))
    async for batch in patients(server, by_id((patient_id,)) if patient_id else EVERYTHING):
        cases = await judge(server, scope, [(decode(row.body), row.version) for row in batch])
        here = {row.id for row in batch}  # of those joined only the one that leads brings the person along
        await finish(server, scope, [case for case in cases if patient_id or case.patient in here], summary)
    if patient_id and not summary.patients:
        raise refuse(404, "not-found", f"There is no Patient/{patient_id}.")
    return summary


def _note(study: Study, summary: MatchSummary) -> None:
    summary.studies += study.open
    texts = [f"{problem.where}: {problem.text}" for problem in study.problems]
    if study.active and not study.open:
        summary.refused.append((study.id, "; ".join(texts) or "no arm is open"))
    elif study.active:
        summary.problems += [(study.id, text) for text in texts]


async def finish(server: Server, scope: Scope, cases: Iterable[Case], summary: MatchSummary) -> None:
    """Write some people's cases; whose record changed meanwhile is read and judged again."""
    cases = list(cases)
    summary.patients += len(cases)
    for _ in range(ATTEMPTS):
        again = []
        for case, written, removed in await settle(server, cases):
            if written is None:
                again.append(case.patient)
            else:
                _count(summary, case, written, removed)
        if not again:
            return
        cases = await judge(server, scope, (await by_ids(server, "Patient", again)).values())
    summary.unfinished += len(cases)


def _count(summary: MatchSummary, case: Case, written: int, removed: int) -> None:
    statuses = [wanted.status for wanted in case.wanted]
    summary.permitted += case.permitted
    summary.pairs += case.pairs
    summary.candidates += statuses.count("candidate")
    summary.potential += statuses.count("potential-candidate")
    summary.retracted += statuses.count("ineligible")
    summary.withdrawn += statuses.count("withdrawn")
    summary.written += written
    summary.unchanged += len(statuses) - written - removed
    summary.untouched += case.untouched + removed
