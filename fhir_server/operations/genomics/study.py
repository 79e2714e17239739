"""$find-study-metadata: which tests were made of a patient, and where they looked.

A test is a genomic report, with the genomic study (STU3) that it refers to if there is one, or such a study without a
report. https://hl7.org/fhir/uv/genomics-reporting/OperationDefinition-find-study-metadata.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_server.access import READ, Caller
from fhir_server.access.permit import SEARCH
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.references import parse
from fhir_server.genomics.assemblies import LOINC_CODES, assembly_named, assembly_of
from fhir_server.genomics.variant import VOID, Interval, components, interval, texts
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.operations.genomics.asked import Range, listed, ranges, token
from fhir_server.operations.genomics.found import (
    CODE,
    DATE,
    IDENTIFIER,
    LOINC,
    SPECIMEN,
    Part,
    coded,
    every,
    known_as,
    of_patient,
    parameters,
    reported,
    subject,
    within,
)
from fhir_server.operations.inputs import Inputs
from fhir_server.search.index import param_of
from fhir_server.search.predicate import ID, And, Chain, Is, Or, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Stored

TAKES = {
    "subject": "reference",
    "testIdentifiers": "string*",
    "testDateRange": "period*",
    "specimenIdentifiers": "string*",
    "ranges": "string*",
}
GUIDE = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition/"
STUDY = GUIDE + "genomic-study"
REPORTS = ("51969-4", "81247-9")
REGION = "53041-0"
ACCESSION = param_of("accession", "token")
FEW = 20  # results that are looked at to find the assembly
_REPORTED = Or((
    *(Is(CODE, (("system", "=", LOINC), ("code", "=", code))) for code in REPORTS),
    Is(param_of("category", "token"), (("system", "=", "http://terminology.hl7.org/CodeSystem/v2-0074"),
                                       ("code", "=", "GE"))),
))  # fmt: skip


async def metadata(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A part for each test. Raises FhirError 400, 403, 404, 410 or 422."""
    id = await subject(server, caller, given)
    asked = ranges(server, listed(given, "ranges"))
    require(caller, "DiagnosticReport", SEARCH)
    whose = of_patient(id)
    found = await every(server, caller, And((whose, _REPORTED, *_asked(given))), type="DiagnosticReport")
    reports = [body for body in map(_body, found) if body.get("status") not in VOID]
    told, seen = [], set()
    for report in reports:
        ids = _ids(server, (one for one in report.get("result", ())), "Observation")
        studies = _ids(server, _extensions(report, "genomic-study-reference"), "Procedure")
        seen |= set(studies)
        own = await _regions(server, caller, whose, report["id"])
        told.append(await _test(server, caller, report, own, ids[:FEW], studies, asked))
    for study in await _studies(server, caller, whose, given):
        if study["id"] not in seen:
            told.append(await _test(server, caller, study, [], [], [study["id"]], asked))
    return parameters(told)


def _asked(given: Inputs) -> Iterator[Predicate]:
    tests, specimens = listed(given, "testIdentifiers"), listed(given, "specimenIdentifiers")
    if tests:
        yield Or(tuple(known_as(one, IDENTIFIER) for one in tests))
    if specimens:
        yield Chain(SPECIMEN, "Specimen", Or(tuple(known_as(one, IDENTIFIER, ACCESSION) for one in specimens)))
    yield from (Is(DATE, within(low, high)) for low, high in given.get("testDateRange", ()))


async def _studies(server: Server, caller: Caller, whose: Predicate, given: Inputs) -> list[Resource]:
    """Genomic studies; which specimen they looked at no search parameter says, so that is tested here."""
    if not caller.may("Procedure", SEARCH):
        return []
    asked = _asked({name: value for name, value in given.items() if name != "specimenIdentifiers"})
    claims = Is(param_of("_profile", "uri"), (("uri", "prefix", STUDY),))
    rows = await every(server, caller, And((whose, claims, *asked)), type="Procedure")
    found = []
    wanted = {token(text).text for text in listed(given, "specimenIdentifiers")}
    for study in map(_body, rows):
        claimed = {url.partition("|")[0] for url in study.get("meta", {}).get("profile", ())}
        if STUDY not in claimed or study.get("status") in VOID:
            continue
        if wanted:
            specimens = [one for body in await _analyses(server, caller, [study]) for one in _specimens(server, body)]
            if wanted.isdisjoint(await _names(server, caller, specimens)):
                continue
        found.append(study)
    return found


async def _test(
    server: Server,
    caller: Caller,
    test: Resource,
    regions: Sequence[Resource],
    results: Sequence[str],
    studies: Sequence[str],
    asked: Sequence[Range],
) -> Part:
    studied = [_body(row) for row in await _read(server, caller, "Procedure", studies)]
    analyses = await _analyses(server, caller, studied)
    specimens = _ids(server, test.get("specimen", ()), "Specimen")
    specimens += [one for body in analyses for one in _specimens(server, body)]
    parts: list[Part] = [{"name": "testId", "valueString": _identifier(test)}]
    parts += [{"name": "testDate", "valueDateTime": date} for date in (_date(test),) if date]
    parts += [{"name": "specimenId", "valueString": one} for one in (await _names(server, caller, specimens))[:1]]
    builds = [_concept(one) for body in analyses for one in _extensions(body, "genomic-study-analysis-genome-build")]
    if not any(builds):
        builds = [await _build(server, caller, regions, results)]
    kinds = [_concept(one) for body in analyses for one in _extensions(body, "genomic-study-analysis-change-type")]
    for name, codings in (("genomicBuild", _merged(builds)), ("dnaChangeType", _merged(kinds))):
        if codings:
            parts.append({"name": name, "valueCodeableConcept": {"coding": codings}})
    if asked:
        parts.append({"name": "regionStudied", "valueString": _said(regions, "51959-5", asked)})
        parts.append({"name": "uncallableRegions", "valueString": _said(regions, "uncallable-regions", asked)})
    return {"name": "tests", "part": parts}


def _said(regions: Iterable[Resource], code: str, asked: Sequence[Range]) -> str:
    """The regions told by components of a code, as far as they were asked about: joined where they touch, zero-based,
    with commas between them; `none` of those that are told, `unknown` where nothing is told."""
    known = [one for body in regions for one in _intervals(body, code)]
    if not known:
        return "unknown"
    cut = [
        Interval(one.accession, max(one.start, at.start), min(one.end, at.end))
        for one in known
        for want in asked
        for at in want.places
        if one.accession == at.accession
    ]
    joined: list[Interval] = []
    for one in sorted(one for one in cut if one.start < one.end):
        if joined and joined[-1].accession == one.accession and one.start <= joined[-1].end:
            joined[-1] = joined[-1]._replace(end=max(joined[-1].end, one.end))
        else:
            joined.append(one)
    return ",".join(f"{one.accession}:{one.start}-{one.end}" for one in joined) or "none"


def _intervals(region: Resource, code: str) -> Iterator[Interval]:
    parts = components(region)
    accession = next(texts(parts, "48013-7"), "")
    system = next(texts(parts, "92822-6"), "")
    for part in parts.get(code, ()):
        found = interval(part.get("valueRange", {}), system)
        if found and accession:
            yield Interval(accession, *found)


async def _regions(server: Server, caller: Caller, whose: Predicate, report: str) -> list[Resource]:
    """The regions studied of a report."""
    of_report = reported(Is(ID, (("id", "=", report),)))
    found = map(_body, await every(server, caller, And((whose, coded(REGION), of_report))))
    return [body for body in found if body.get("status") not in VOID]


async def _build(
    server: Server, caller: Caller, regions: Sequence[Resource], results: Sequence[str]
) -> list[dict[str, Any]]:
    """The assembly that the results are described on, if it is one."""
    bodies = [*regions] or [_body(row) for row in await _read(server, caller, "Observation", results)]
    found: set[str] = set()
    for parts in map(components, bodies):
        found |= {assembly_named(text) for text in texts(parts, "62374-4")}
        found |= {assembly_of(text) for text in texts(parts, "48013-7")}
        found |= {assembly_of(text.partition(":")[0]) for text in texts(parts, "81290-9")}
    found.discard("")
    return [{"system": LOINC, "code": LOINC_CODES[one], "display": one} for one in found] if len(found) == 1 else []


async def _read(server: Server, caller: Caller, type: str, ids: Sequence[str]) -> list[Stored]:
    if not ids or not caller.may(type, READ):
        return []
    return await every(server, caller, Is(ID, (("id", "in", tuple((id,) for id in ids)),)), READ, type)


async def _analyses(server: Server, caller: Caller, studies: Iterable[Resource]) -> list[Resource]:
    """The studies and their analyses."""
    found = list(studies)
    ids = [id for study in found for id in _ids(server, _extensions(study, "genomic-study-analysis-ext"), "Procedure")]
    return found + [_body(row) for row in await _read(server, caller, "Procedure", ids)]


def _specimens(server: Server, analysis: Resource) -> list[str]:
    return _ids(server, _extensions(analysis, "genomic-study-analysis-specimen"), "Specimen")


async def _names(server: Server, caller: Caller, specimens: Sequence[str]) -> list[str]:
    return [_identifier(_body(row)) for row in await _read(server, caller, "Specimen", specimens)]


def _identifier(resource: Resource) -> str:
    """What a test or specimen is known by: its first identifier, else its id."""
    values = (one["value"] for one in resource.get("identifier", ()) if "value" in one)
    return str(next(values, resource["id"]))


def _date(test: Mapping[str, Any]) -> str:
    for period in ("effectivePeriod", "performedPeriod"):
        if "start" in test.get(period, ()):
            return str(test[period]["start"])
    return str(next((test[key] for key in ("effectiveDateTime", "performedDateTime", "issued") if key in test), ""))


def _extensions(resource: Resource, name: str) -> Iterator[dict[str, Any]]:
    """The values of extensions of the guide: references or concepts."""
    for one in resource.get("extension", ()):
        if one.get("url") == GUIDE + name:
            value = one.get("valueReference", one.get("valueCodeableConcept"))
            if value:
                yield value


def _concept(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [dict(coding) for coding in value.get("coding", ())]


def _merged(codings: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for one in codings:
        for coding in one:
            found.setdefault((coding.get("system"), coding.get("code")), coding)
    return list(found.values())


def _ids(server: Server, references: Iterable[Mapping[str, Any]], type: str) -> list[str]:
    targets = (parse(one.get("reference", ""), server.settings.base) for one in references)
    return list(dict.fromkeys(target.id for target in targets if target.local and target.type == type))


def _body(row: Stored) -> Resource:
    body: Resource = codec.decode(row.body)
    return body
