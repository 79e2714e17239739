"""Patient/$match: who in the store may be this person? https://hl7.org/fhir/R4/patient-operation-match.html

It offers and changes nothing: a person decides, and merges with Patient.link. Candidates come from searches by what is
indexed (identifier, name with birth date, phone and e-mail), each limited; likeness.py says how alike they are.
"""

from collections.abc import Iterator

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.bundle import bundle
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.likeness import POSSIBLE, Likeness, identifiers, likeness, names
from fhir_server.search.index import param_of
from fhir_server.search.predicate import And, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

TAKES = {"resource": "resource", "onlyCertainMatches": "boolean", "count": "count"}
EACH = 50  # candidates of one search
SEARCHES = 30
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
REASON = "https://participation.example/fhir/StructureDefinition/match-reason"


async def match(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset, best first, of those who may be the same person, with score, grade and reasons.

    With onlyCertainMatches the one certain match, or nothing if there are several. Raises FhirError 400 or 422 for a
    resource that is no Patient, and 422 for one with nothing to look for.
    """
    patient: Resource | None = given.get("resource")
    if patient is None or patient.get("resourceType") != "Patient":
        raise refuse(400, "required", "$match needs a Patient: as the body, or as the parameter resource.")
    server.validate({key: value for key, value in patient.items() if key not in ("id", "meta")})
    searches = list(_searches(patient))[:SEARCHES]
    if not searches:
        text = "There is nothing to look for: give an identifier, a name with birth date or address, or a telecom."
        raise refuse(422, "incomplete", text, "Patient")
    candidates: dict[str, Stored] = {}
    for where in searches:
        page = await server.store.search(Query(("Patient",), restrict(where, caller, ("Patient",)), count=EACH))
        candidates.update((row.id, row) for row in page.rows)
    scored = [(likeness(patient, codec.decode(row.body)), row) for row in candidates.values()]
    found = sorted(
        (pair for pair in scored if pair[0].score >= POSSIBLE), key=lambda pair: (-pair[0].score, pair[1].id)
    )
    if given.get("onlyCertainMatches"):
        found = [pair for pair in found if pair[0].grade == "certain"]
        found = found if len(found) == 1 else []
    found = found[: min(given.get("count", EACH), server.settings.max_page_size)]
    entries = [_entry(f"{server.settings.base}/Patient/{row.id}", row.body, alike) for alike, row in found]
    links = [("self", f"{server.settings.base}/Patient/$match")]
    return Answer(200, bundle("searchset", entries, links=links, total=len(entries)))


def _searches(patient: Resource) -> Iterator[Predicate]:
    """What could find the same person, most telling first."""
    for system, value in sorted(identifiers(patient)):
        tests = (("code", "=", value),)
        yield Is(param_of("identifier", "token"), ((("system", "=", system), *tests) if system else tests))
    family = [Is(param_of("family", "string"), (("norm", "=", name),)) for name in sorted(names(patient, "family"))]
    firsts = [Is(param_of("given", "string"), (("norm", "=", name),)) for name in sorted(names(patient, "given"))]
    born = patient.get("birthDate")
    if born:
        low, high = bounds(born)
        day = Is(param_of("birthdate", "date"), (("low", "<", high), ("high", ">", low)))
        for name in (*family, *firsts):
            yield And((name, day))
    for point in patient.get("telecom", ()):
        if point.get("value"):
            yield Is(param_of("telecom", "token"), (("code", "=", point["value"]),))
    for one in family:
        for address in patient.get("address", ()):
            if address.get("postalCode"):
                code = address["postalCode"]
                yield And((one, Is(param_of("address-postalcode", "string"), (("exact", "=", code),))))
        for other in firsts:
            yield And((one, other))


def _entry(address: str, body: bytes, alike: Likeness) -> bytes:
    extensions = [{"url": GRADE, "valueCode": alike.grade}]
    extensions += [{"url": REASON, "valueString": reason} for reason in alike.reasons]
    search = codec.encode({"extension": extensions, "mode": "match", "score": alike.score})
    return b'{"fullUrl":' + codec.encode(address) + b',"resource":' + body + b',"search":' + search + b"}"
