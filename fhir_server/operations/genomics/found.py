"""The observations that answer: under the caller's permit, of one patient and what is asked of their tests.

https://hl7.org/fhir/uv/genomics-reporting/operations.html
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fhir_server.access import READ, Caller, restrict
from fhir_server.access.permit import SEARCH
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import refuse
from fhir_server.fhir.references import parse
from fhir_server.genomics.variant import VARIANT, codes
from fhir_server.interactions.ask import Answer
from fhir_server.interactions.may import require
from fhir_server.operations.everything import present
from fhir_server.operations.genomics.asked import Sought, Token, listed, token
from fhir_server.operations.inputs import Inputs
from fhir_server.search.genomic import FIELDS, GENOTYPE, HAPLOTYPE, called, naming, spelling
from fhir_server.search.index import param_of
from fhir_server.search.predicate import ID, And, Chain, Has, Is, Not, Or, Param, Predicate, Test
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

LOINC = "http://loinc.org"
GUIDE = "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/"
TBD = (f"{GUIDE}tbd-codes-cs", f"{GUIDE}TbdCodes")  # its codes to be determined, of STU3 and before
MOST = 20_000  # observations of one answer
CLASSES = {"germline": "LA6683-2", "somatic": "LA6684-0"}
FILTERS = {
    "testIdentifiers": "string*",
    "testDateRange": "period*",
    "specimenIdentifiers": "string*",
    "genomicSourceClass": "string",
}
SUBJECT = {"subject": "reference", **FILTERS}

CODE, IDENTIFIER, DATE = param_of("code", "token"), param_of("identifier", "token"), param_of("date", "date")
PATIENT, RESULT, SPECIMEN = (param_of(name, "reference") for name in ("subject", "result", "specimen"))
DERIVED, PART_OF, MEMBER = (param_of(name, "reference") for name in ("derived-from", "part-of", "has-member"))
COMPONENT = Param("component-code-value-concept", "token$token")
# Code systems that are written in several ways, in the guide's own examples too.
SPELLINGS = (
    ("http://www.genenames.org", "http://www.genenames.org/geneId", "https://www.genenames.org",
     "https://www.genenames.org/geneId"),
    ("http://www.sequenceontology.org", "http://sequenceontology.org", "http://www.sequenceontology.org/",
     "http://sequenceontology.org/"),
    ("http://www.pharmvar.org", "https://www.pharmvar.org"),
)  # fmt: skip
KINDS = {VARIANT: "variant", HAPLOTYPE: "haplotype", GENOTYPE: "genotype"}
Part = dict[str, Any]


async def subject(server: Server, caller: Caller, given: Inputs) -> str:
    """The id of the patient asked about. Raises FhirError 400 without one, 404 or 410 for one that is hidden."""
    text = given.get("subject", "").strip()
    if not text:
        raise refuse(400, "required", "Say whose: subject=[id], or subject=Patient/[id].", "subject")
    target = parse(text if "/" in text else f"Patient/{text}", server.settings.base)
    if not target.local or target.type != "Patient":
        raise refuse(400, "value", f"subject: {text[:80]!r} is no Patient of this server.", "subject")
    require(caller, "Observation", SEARCH)
    if caller.may("Patient", READ):  # who reads no Patients at all is told of their observations, as by a search
        await present(server, caller, target.id)
    return target.id


def of_patient(id: str) -> Predicate:
    """What has this patient as its subject."""
    return Is(PATIENT, (("type", "=", "Patient"), ("id", "=", id)))


def coded(*wanted: str) -> Predicate:
    """Observations of one of these codes; LOINC's, or those the guide made up for itself."""
    return Or(
        tuple(Is(CODE, (("system", "=", system), ("code", "=", code))) for code in wanted for system in _systems(code))
    )


def _systems(code: str) -> tuple[str, ...]:
    return (LOINC,) if code[0].isdigit() else TBD


def source_class(given: Inputs) -> tuple[Predicate, ...]:
    """What is asked of the genomic source class. Raises FhirError 400 for any other than germline and somatic."""
    text = given.get("genomicSourceClass", "").strip()
    if not text:
        return ()
    said = token(text).text
    code = CLASSES.get(said.lower(), said)
    if code not in CLASSES.values():
        raise refuse(
            400, "value", f"genomicSourceClass must be germline or somatic, not {text[:40]!r}.", "genomicSourceClass"
        )
    return (_component("48002-0", LOINC, code),)


def filters(given: Inputs) -> tuple[Predicate, ...]:
    """What is asked of the test, its date, the specimen and the source class. Raises FhirError 400."""
    found = list(source_class(given))
    tests = listed(given, "testIdentifiers")
    if tests:
        known = Or(tuple(known_as(one, IDENTIFIER) for one in tests))
        found.append(Or((reported(known), Chain(PART_OF, "Procedure", known))))
    specimens = listed(given, "specimenIdentifiers")
    if specimens:
        accession = param_of("accession", "token")
        known = Or(tuple(known_as(one, IDENTIFIER, accession) for one in specimens))
        found.append(Chain(SPECIMEN, "Specimen", known))
    spans = given.get("testDateRange", ())
    if spans:
        dated = And(tuple(Is(DATE, within(low, high)) for low, high in spans))
        found.append(Or((dated, And((Not(Is(DATE)), reported(dated))))))
    return tuple(found)


def reported(where: Predicate) -> Predicate:
    """Results of a report that matches, and members of a group that is one of its results."""
    report = Has("DiagnosticReport", RESULT, where)
    return Or((report, Has("Observation", MEMBER, report)))


def known_as(text: str, *params: Param) -> Predicate:
    """What has this identifier (`system|value`, or its value alone), or this id."""
    wanted = token(text)
    tests = (("code", "=", wanted.text),) if wanted.system is None else (
        ("system", "=", wanted.system), ("code", "=", wanted.text))  # fmt: skip
    ids: tuple[Predicate, ...] = (Is(ID, (("id", "=", wanted.text),)),) if wanted.system is None else ()
    return Or((*(Is(param, tests) for param in params), *ids))


def within(low: int | None, high: int | None) -> tuple[Test, ...]:
    """Tests on a date: some of it lies in [low, high)."""
    after: tuple[Test, ...] = () if low is None else (("high", ">", low),)
    return after if high is None else (*after, ("low", "<", high))


def _component(code: str, system: str, value: str) -> Predicate:
    said = (("2.system", "=", system), ("2.code", "=", value))
    parts = [Is(COMPONENT, (("1.system", "=", told), ("1.code", "=", code), *said)) for told in _systems(code)]
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def about(field: str, wanted: Token) -> Predicate:
    """Observations with a component of a field (search/genomic.py: FIELDS) that is, or has in it, what is wanted."""
    if wanted.system is None:
        return called(field, wanted.text)
    systems = spellings(wanted.system)
    return Or(tuple(_component(code, system, wanted.text) for code in FIELDS[field] for system in systems))


def spellings(system: str) -> tuple[str, ...]:
    """The ways to write a code system."""
    return next((known for known in SPELLINGS if system in known), (system,))


def valued(wanted: Token) -> Predicate:
    """Haplotypes and genotypes that are, or have in their names, what is wanted."""
    if wanted.system is None:
        return called("haplotype", wanted.text)
    value = param_of("value-concept", "token")
    systems = spellings(wanted.system)
    return Or(tuple(Is(value, (("system", "=", system), ("code", "=", wanted.text))) for system in systems))


def variants_named(sought: Iterable[Sought]) -> Predicate:
    """Variant observations of one of these variants: by themselves, or by a molecular consequence that spells it so.

    That they are variants is implied: where a search is led by its first condition it must be the selective one."""
    asked = list(sought)
    parts = [naming(name for one in asked for name in one.names)]
    spellings = [name for one in asked if one.allele is None for name in one.names]
    if spellings:
        parts.append(Has("Observation", DERIVED, spelling(spellings)))
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


async def every(
    server: Server, caller: Caller, where: Predicate, letter: str = SEARCH, type: str = "Observation"
) -> list[Stored]:
    """All resources of a type that match and that the caller may see. Raises FhirError 422 for more than MOST."""
    query = Query((type,), restrict(where, caller, (type,), letter), count=500)
    rows: list[Stored] = []
    while True:
        page = await server.store.search(query)
        rows += page.rows
        if page.next is None:
            return rows
        if len(rows) >= MOST:
            raise refuse(422, "too-costly", f"More than {MOST} resources match: ask for less at once.")
        query = query._replace(after=page.next)
        await asyncio.sleep(0)


async def some(server: Server, caller: Caller, where: Predicate) -> bool:
    """Whether the caller may see an observation that matches."""
    query = Query(("Observation",), restrict(where, caller, ("Observation",)), count=1)
    return bool((await server.store.search(query)).rows)


async def sources(server: Server, caller: Caller, rows: Iterable[Stored]) -> list[Stored]:
    """What observations are derived from, each once, as far as the caller may read it."""
    ids = dict.fromkeys(id for row in rows for id in derived_from(server, row))
    found: list[Stored] = []
    listing = list(ids)
    for at in range(0, len(listing), 200):
        wanted = tuple((id,) for id in listing[at : at + 200])
        found += await every(server, caller, Is(ID, (("id", "in", wanted),)), READ)
    return found


def derived_from(server: Server, row: Stored) -> Iterator[str]:
    """The ids of the observations that one is derived from."""
    for reference in codec.decode(row.body).get("derivedFrom", ()):
        target = parse(reference.get("reference", ""), server.settings.base)
        if target.local and target.type == "Observation":
            yield target.id


def kind(row: Stored) -> str:
    """What an observation is, as the operations name it: variant, haplotype, genotype; "" for others."""
    return next(filter(None, map(KINDS.get, codes(codec.decode(row.body).get("code")))), "")


def resource(name: str, row: Stored) -> Part:
    """A part that holds a resource, as it is stored."""
    return {"name": name, "resource": msgspec.Raw(row.body)}


def parameters(parts: Iterable[Part]) -> Answer:
    """The answer of an operation; no parameters at all where there is nothing to say."""
    listing = list(parts)
    return Answer(200, codec.encode({"resourceType": "Parameters", **({"parameter": listing} if listing else {})}))
