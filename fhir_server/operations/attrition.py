"""ResearchStudy/[id]/$attrition: which criterion removes, or leaves unknown, whom. See docs/operations/attrition.md"""

from collections.abc import Mapping
from typing import Any

from fhir_server.access import Caller
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.matching.criteria import Branch, Leaf, Node
from fhir_server.matching.disclosure import LEAST, Blocks, joined, told
from fhir_server.matching.explain import OVERALL
from fhir_server.matching.strata import STRATA
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.pool import counted, reported
from fhir_server.server import Server

TAKES = {"date": "date", "by": "string"}
OUTCOMES = ("met", "not-met", "unknown")
Part = dict[str, Any]


async def attrition(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with a table for the whole and one for each criterion. Raises FhirError 404, 410, 403, 422 or 400."""
    by = given.get("by", "")
    if by and by not in STRATA:
        raise refuse(400, "value", f"by must be one of {', '.join(STRATA)}, not {by[:40]!r}.", "by")
    study = await reported(server, caller, ask.id)
    when = given["date"][0] if "date" in given else server.clock()
    tables: dict[tuple[str, str], dict[str, list[int]]] = {}  # (arm, criterion) -> stratum -> counts of OUTCOMES
    texts: dict[tuple[str, str], str] = {}
    whole: dict[str, list[int]] = {}
    async for patient, match in counted(server, caller, study, when):
        stratum = STRATA[by](patient, when) if by else ""
        whole.setdefault(stratum, [0, 0, 0])[OUTCOMES.index(match.outcome)] += 1
        for number, result in enumerate(match.results):
            arm = (result.arm or str(number + 1)) if len(match.results) > 1 else ""
            for judged in result.criteria:
                key = arm, judged.node.id
                texts[key] = _text(judged.node)
                row = tables.setdefault(key, {}).setdefault(stratum, [0, 0, 0])
                row[OUTCOMES.index(judged.finding.outcome)] += 1
    strata = sorted(whole)
    blocks = joined([sum(whole[stratum]) for stratum in strata])
    names = tuple(OVERALL[outcome] for outcome in OUTCOMES)
    parameters = [{"name": "overall", "part": _table(whole, strata, blocks, names)}]
    for (arm, id), table in tables.items():
        head: list[Part] = [{"name": "id", "valueString": id}, {"name": "text", "valueString": texts[arm, id]}]
        head += [{"name": "arm", "valueString": arm}] if arm else []
        parameters.append({"name": "criterion", "part": [*head, *_table(table, strata, blocks, OUTCOMES)]})
    return Answer(200, codec.encode({"resourceType": "Parameters", "parameter": parameters}))


def _text(node: Node) -> str:
    if isinstance(node, Branch):
        return node.text
    assert isinstance(node, Leaf)
    return f"{'Excluded: ' if node.exclude else ''}{node.test.text}"


def _table(counts: Mapping[str, list[int]], strata: list[str], rows: Blocks, names: tuple[str, ...]) -> list[Part]:
    """The counts that may be told; what was joined is named together, as `not-met or unknown`."""
    table = told([counts.get(stratum, [0] * len(names)) for stratum in strata], rows) if strata else None
    if table is None:
        return [{"name": "suppressed", "valueString": f"fewer than {LEAST} people"}]
    parts: list[Part] = []
    for block, cells in zip(table.rows, table.cells, strict=True):
        inner: list[Part] = [
            {"name": " or ".join(names[place] for place in column), "valueInteger": count}
            for column, count in zip(table.columns, cells, strict=True)
        ]
        inner.insert(0, {"name": "people", "valueInteger": sum(cells)})
        shown = " or ".join(strata[place] for place in block)
        parts += (
            inner
            if strata == [""]
            else [{"name": "stratum", "part": [{"name": "value", "valueString": shown}, *inner]}]
        )
    return parts
