"""ResearchStudy/[id]/$diversity: whom recruitment reaches, beside a reference. See docs/operations/diversity.md"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.matching.disclosure import LEAST, Table, told
from fhir_server.matching.finding import Outcome
from fhir_server.matching.strata import STRATA
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.matches import naming
from fhir_server.operations.pool import counted, reported
from fhir_server.server import Server
from fhir_server.store.seam import Query

TAKES = {"date": "date", "reference": "string*"}
# Everyone stands in one of these: the furthest that they have come.
STAGES = ("enrolled", "candidate", "eligible", "unknown", "not-eligible")
ENROLLED = frozenset(
    {"on-study", "on-study-intervention", "on-study-observation", "follow-up", "off-study", "completed"}
)
_OUTCOMES: Mapping[Outcome, str] = {"met": "eligible", "unknown": "unknown", "not-met": "not-eligible"}
Part = dict[str, Any]


async def diversity(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with a table for each dimension. Raises FhirError 404, 410, 403, 422 or 400."""
    reference = _reference(given.get("reference", ()))
    study = await reported(server, caller, ask.id)
    when = given["date"][0] if "date" in given else server.clock()
    enrolled = await _statuses(server, ask.id)
    counts: dict[str, dict[str, list[int]]] = {name: {} for name in STRATA}
    async for patient, match in counted(server, caller, study, when):
        place = STAGES.index(_stage(enrolled.get(patient["id"], ()), match.outcome))
        for name, stratum in STRATA.items():
            counts[name].setdefault(stratum(patient, when), [0] * len(STAGES))[place] += 1
    parameters = [
        {"name": "dimension", "part": [{"name": "name", "valueCode": name}, *_dimension(rows, reference.get(name, {}))]}
        for name, rows in counts.items()
    ]
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": parameters}))


def _stage(statuses: Iterable[str], outcome: Outcome) -> str:
    found = set(statuses)
    if found & ENROLLED:
        return "enrolled"
    return "candidate" if found & {"candidate", "screening", "eligible"} else _OUTCOMES[outcome]


async def _statuses(server: Server, study: str) -> dict[str, list[str]]:
    """The statuses of the study's ResearchSubjects by patient."""
    found: dict[str, list[str]] = {}
    where = naming("study", "ResearchStudy", (study,))
    async for row in server.store.scan(Query(("ResearchSubject",), where)):
        subject: Resource = codec.decode(row.body)
        patient = parse(subject.get("individual", {}).get("reference", ""), server.settings.base).id
        found.setdefault(patient, []).append(str(subject.get("status", "")))
    return found


def _reference(given: Iterable[str]) -> dict[str, dict[str, Decimal]]:
    """Shares of a reference population, written `sex|female=0.51`."""
    found: dict[str, dict[str, Decimal]] = {}
    for text in given:
        name, _, rest = text.partition("|")
        value, _, share = rest.rpartition("=")
        try:
            number = Decimal(share)
        except InvalidOperation:
            number = Decimal(-1)
        if name not in STRATA or not value or not 0 <= number <= 1:
            raise refuse(400, "value", f"reference: {text[:60]!r} is not dimension|value=share.", "reference")
        found.setdefault(name, {})[value] = number
    return found


def _dimension(counts: Mapping[str, list[int]], reference: Mapping[str, Decimal]) -> list[Part]:
    strata = sorted(counts)
    table = told([counts[stratum] for stratum in strata]) if strata else None
    if table is None:
        return [{"name": "suppressed", "valueString": f"fewer than {LEAST} people"}]
    totals = [sum(cells[place] for cells in table.cells) for place in range(len(table.columns))]
    return [_stratum(table, number, strata, totals, reference) for number in range(len(table.rows))]


def _stratum(table: Table, number: int, strata: list[str], totals: list[int], reference: Mapping[str, Decimal]) -> Part:
    """A stratum, or several joined: people and share in the pool and in each stage, and share of the reference."""
    values = [strata[place] for place in table.rows[number]]
    cells = table.cells[number]
    parts: list[Part] = [
        {"name": "value", "valueString": " or ".join(values)},
        _shared("pool", sum(cells), sum(totals)),
    ]
    for column, count, total in zip(table.columns, cells, totals, strict=True):
        parts.append(_shared(" or ".join(STAGES[place] for place in column), count, total))
    if all(value in reference for value in values):
        parts.append({"name": "reference", "valueDecimal": sum(reference[value] for value in values)})
    return {"name": "stratum", "part": parts}


def _shared(name: str, count: int, total: int) -> Part:
    share = round(Decimal(count) / total, 4)
    return {"name": name, "part": [{"name": "people", "valueInteger": count}, {"name": "share", "valueDecimal": share}]}
