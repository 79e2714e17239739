"""A Consent as a statement that someone made: what it is about, whether it counts, what supersedes it.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, NamedTuple

from fhir_server.access.purposes import lineage
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import DAY, bounds

SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
POLICY = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CATEGORY = "http://terminology.hl7.org/CodeSystem/consentcategorycodes"
# Modifier extensions that are understood; with any other a Consent can only deny.
UNDERSTOOD = frozenset({"https://participation.example/fhir/StructureDefinition/research-disease"})
CLAUSES = "urn:oid:2.16.840.1.113883.3.1937.777.24.5.3"  # of the German Medical Informatics Initiative
LONG_AGO = -(1 << 62)
FOREVER = (1 << 63) - 1


class Person(NamedTuple):
    """Whom statements are about: the ids of the Patients that are this person, and when they come of age (µs)."""

    ids: tuple[str, ...]
    adult: int | None


class Statement(NamedTuple):
    """What matters of a Consent. With a `fault` it cannot permit: its denials alone count."""

    reference: str
    line: tuple[Any, ...]  # of two statements of one line the newer holds
    rank: tuple[int, int]
    active: bool
    research: bool
    privacy: bool
    deidentified: bool
    guardian: bool
    fault: str  # why it cannot permit
    root: Resource | None


def person_of(patients: Iterable[Resource], adult_age: int) -> Person:
    """The person that these Patient resources are. Of several birth dates the latest counts: the later majority."""
    patients = list(patients)
    born = [patient["birthDate"] for patient in patients if "birthDate" in patient]
    adult = max((_birthday(date, adult_age) for date in born), default=None)
    return Person(tuple(sorted(patient["id"] for patient in patients)), adult)


def statement_of(consent: Resource, person: Person) -> Statement | None:
    """Read a Consent; None for one that says nothing: a draft, an error, one about neither research nor privacy."""
    scope = _codes(consent.get("scope"), SCOPE) & {"research", "patient-privacy"}
    if not scope or consent.get("status") not in ("active", "inactive", "rejected"):
        return None
    root = consent.get("provision")
    made = _low(consent.get("dateTime"))
    categories = {code for concept in consent.get("category", ()) for code in _codes(concept, CATEGORY)}
    rules = _codes(consent.get("policyRule"), POLICY)
    if root is not None and "type" not in root and "OPTOUT" in rules:
        root = _opted_out(root)
    granted = [ref.get("reference", "") for ref in consent.get("performer", ())]
    own = {f"Patient/{id}" for id in person.ids}
    guardian = any(one.startswith("RelatedPerson/") for one in granted) and not own & set(granted)
    entitled = not granted or guardian or bool(own & set(granted))
    faults = {
        "it has no root provision of a type": root is None or root.get("type") not in ("permit", "deny"),
        "it does not say when it was made (dateTime)": made is None,
        "neither the patient nor a related person granted it (performer)": not entitled,
        "it has a modifier extension that is not understood": _modified({**consent, "text": None}),
        "it names policies of a system that is not understood (provision.code)": _foreign(root),
    }
    fault = next((text for text, true in faults.items() if true), "")
    return Statement(
        f"Consent/{consent.get('id', '')}",
        (frozenset(scope), *_policy(consent), _studies(root)),
        (made if made is not None else LONG_AGO, _low(consent.get("meta", {}).get("lastUpdated")) or 0),
        consent["status"] == "active",
        "research" in scope,
        "patient-privacy" in scope,
        "rsdid" in categories and "rsreid" not in categories,
        guardian,
        fault,
        root,
    )


def standing(statements: Iterable[Statement], now: int) -> list[Statement]:
    """The active statements made by now that no newer one of the same line supersedes.

    A newer `inactive` or `rejected` one supersedes as well: a revocation must not bring an older permit back.
    """
    lines: dict[tuple[Any, ...], list[Statement]] = {}
    for statement in statements:
        if statement.rank[0] <= now:
            lines.setdefault(statement.line, []).append(statement)
    newest = (one for line in lines.values() for one in line if one.rank == max(each.rank for each in line))
    return [one for one in newest if one.active]


def next_edge(statements: Iterable[Statement], person: Person, now: int) -> int:
    """The next time at which time alone may change what the statements say; FOREVER if it will not."""
    edges: list[int] = []
    for statement in statements:
        edges += [statement.rank[0], *_periods(statement.root)]
        if statement.guardian and person.adult is not None:
            edges.append(person.adult)
    return min((edge for edge in edges if edge > now), default=FOREVER)


def _periods(provision: Resource | None) -> Iterator[int]:
    if provision is None:
        return
    period = provision.get("period", {})
    for name, side in (("start", 0), ("end", 1)):
        if name in period:
            try:
                yield bounds(period[name])[side]
            except ValueError:
                continue
    for inner in provision.get("provision", ()):
        yield from _periods(inner)


def _birthday(born: str, years: int) -> int:
    """When they turn so many years old, at the latest that a partial date allows; born on 29 February, on 1 March."""
    last = datetime.fromtimestamp((bounds(born)[1] - DAY) / 1_000_000, UTC)
    leap = (last.month, last.day) == (2, 29)
    day = last.replace(year=last.year + years, month=3, day=1) if leap else last.replace(year=last.year + years)
    return int(day.timestamp()) * 1_000_000


def _opted_out(root: Resource) -> Resource:
    """What an untyped root under OPTOUT says: all is denied but, where it names that, care in an emergency."""
    named = [one for one in root.get("purpose", ()) if "ETREAT" in lineage(one.get("code", ""))]
    return {"type": "deny", **({"provision": [{"type": "permit", "purpose": named}]} if named else {})}


def _foreign(provision: Resource | None) -> bool:
    """Whether a code below is a clause of a consent form, of which only those who wrote it know what it permits."""
    if provision is None:
        return False
    coded = (coding.get("system", "") for concept in provision.get("code", ()) for coding in concept.get("coding", ()))
    return any(map(str.startswith, coded, repeat(CLAUSES))) or any(map(_foreign, provision.get("provision", ())))


def _policy(consent: Resource) -> tuple[frozenset[str], frozenset[str]]:
    uris = frozenset(policy.get("uri", "") for policy in consent.get("policy", ()))
    return uris, frozenset(c.get("code", "") for c in consent.get("policyRule", {}).get("coding", ()))


def _studies(root: Resource | None) -> frozenset[str]:
    """The studies that a statement is about as a whole: one of another study does not supersede it."""
    return frozenset(one for one in _named(root or {}) if "ResearchStudy/" in one)


def _named(provision: Resource) -> Iterator[str]:
    """What a provision is about by reference: data, and the studies of HL7's consent-ResearchStudyContext."""
    for one in provision.get("data", ()):
        yield one.get("reference", {}).get("reference", "")
    for one in provision.get("extension", ()):
        yield one.get("valueReference", {}).get("reference", "")


def studies_named(root: Resource | None) -> frozenset[str]:
    """The ids of the studies that a provision or one below it names."""
    if root is None:
        return frozenset()
    own = (one.partition("/_history/")[0].split("/")[-2:] for one in _named(root))
    found = {parts[1] for parts in own if parts[0] == "ResearchStudy" and len(parts) == 2}
    return frozenset(found.union(*map(studies_named, root.get("provision", ()))))


def _modified(node: Any) -> bool:
    """Whether a modifierExtension that is not understood hides below: it may change the meaning."""
    if isinstance(node, Mapping):
        own = node.get("modifierExtension", ())
        return any(one.get("url") not in UNDERSTOOD for one in own) or any(map(_modified, node.values()))
    return isinstance(node, list) and any(map(_modified, node))


def _codes(concept: Resource | None, system: str) -> set[str]:
    return {c.get("code", "") for c in (concept or {}).get("coding", ()) if c.get("system") == system}


def _low(text: str | None) -> int | None:
    try:
        return bounds(text)[0] if text else None
    except ValueError:
        return None
