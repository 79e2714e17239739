"""What a participant ticks on one page, as one Consent, and back without loss. https://hl7.org/fhir/R4/consent.html

The Consent denies research and being contacted, but for what was ticked: for some classes of data, a purpose, perhaps
one recipient, perhaps until a day. Studies that were crossed out are denied by name. While it is paused one more
denial stands beside all of it, so that what was ticked is kept.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from fhir_server.access.facts import BROADER_CLASS, DATA_CLASS, OF_TYPE
from fhir_server.access.purposes import ACT_REASON, BROADER, CONTACT
from fhir_server.access.statements import SCOPE
from fhir_server.fhir.codec import Resource

POLICY = "https://participation.example/policy/choices"
PROFILE = "https://participation.example/fhir/StructureDefinition/participant-choices"
CLASSES = tuple(sorted({*BROADER_CLASS, *BROADER_CLASS.values(), *OF_TYPE.values()} - {"administrative"}))
PURPOSES = ("HRESCH", *(code for code, above in BROADER.items() if above in ("HRESCH", "CLINTRCH")))
CONTACTS = tuple(code for code, above in BROADER.items() if above in ("contact", "contact-trial"))
_RECIPIENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
_PAUSE = {"type": "deny"}


class Use(NamedTuple):
    """One line of the page: these classes of data, for a purpose, by a recipient (a reference; "": anyone), until the
    end of a day ("": until it is changed)."""

    data: tuple[str, ...]  # codes of DATA_CLASS, sorted; none: all
    purpose: str
    recipient: str = ""
    until: str = ""


class Choices(NamedTuple):
    """The page: uses that are permitted, ways of being contacted, studies that are not to use anything."""

    uses: tuple[Use, ...] = ()
    contact: tuple[str, ...] = ()  # of CONTACTS, sorted
    without: tuple[str, ...] = ()  # ids of ResearchStudies, sorted
    paused: bool = False


def checked(choices: Choices) -> Choices:
    """The same in its one form. Raises ValueError for a code that is none of the page's."""
    for use in choices.uses:
        _known(use.data, CLASSES, "class of data")
        _known((use.purpose,), PURPOSES, "purpose")
    _known(choices.contact, CONTACTS, "way of being contacted")
    uses = (use._replace(data=tuple(sorted(set(use.data)))) for use in choices.uses)
    return Choices(
        tuple(sorted(set(uses))),
        tuple(sorted(set(choices.contact))),
        tuple(sorted(set(choices.without))),
        choices.paused,
    )


def consent_of(choices: Choices, patient: str, performer: str, made: str) -> Resource:
    """The Consent that says it, without an id: `patient` is an id, `performer` a reference, `made` a dateTime."""
    nested: list[Resource] = [_PAUSE] if choices.paused else []
    nested += [_permit(use) for use in choices.uses]
    nested += [{"type": "permit", "purpose": [{"system": CONTACT, "code": code}]} for code in choices.contact]
    if choices.without:
        named = [{"meaning": "related", "reference": {"reference": f"ResearchStudy/{id}"}} for id in choices.without]
        nested.append({"type": "deny", "data": named})
    purposes = [{"system": ACT_REASON, "code": "HRESCH"}, {"system": CONTACT, "code": "contact"}]
    root = {"type": "deny", "purpose": purposes}
    return {
        "resourceType": "Consent",
        "meta": {"profile": [PROFILE]},
        "status": "active",
        "scope": {"coding": [{"system": SCOPE, "code": "research"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": made,
        "performer": [{"reference": performer}],
        "policy": [{"uri": POLICY}],
        "provision": {**root, **({"provision": nested} if nested else {})},
    }


def choices_of(consent: Resource) -> Choices | None:
    """The page that a Consent was made from; None if it says anything else."""
    uses: list[Use] = []
    contact: list[str] = []
    without: list[str] = []
    paused = False
    for node in consent.get("provision", {}).get("provision", ()):
        if node == _PAUSE:
            paused = True
        elif node.get("type") == "deny":
            without += [one["reference"]["reference"].partition("/")[2] for one in node.get("data", ())]
        elif node.get("purpose", [{}])[0].get("system") == CONTACT:
            contact.append(node["purpose"][0]["code"])
        else:
            uses.append(_use(node))
    found = Choices(tuple(uses), tuple(contact), tuple(without), paused)
    try:
        if found != checked(found):
            return None
    except ValueError:
        return None
    performer = (consent.get("performer") or [{}])[0].get("reference", "")
    patient = consent.get("patient", {}).get("reference", "").partition("/")[2]
    again = consent_of(found, patient, performer, consent.get("dateTime", ""))
    same = all(consent.get(name) == again[name] for name in ("status", "scope", "policy", "provision"))
    return found if same else None


def _permit(use: Use) -> Resource:
    node: Resource = {"type": "permit", "purpose": [{"system": ACT_REASON, "code": use.purpose}]}
    if use.until:
        node["period"] = {"end": use.until}
    if use.recipient:
        node["actor"] = [{"role": _RECIPIENT, "reference": {"reference": use.recipient}}]
    if use.data:
        node["securityLabel"] = [{"system": DATA_CLASS, "code": code} for code in use.data]
    return node


def _use(node: Resource) -> Use:
    actors: list[Any] = node.get("actor", [])
    return Use(
        tuple(one.get("code", "") for one in node.get("securityLabel", ())),
        node.get("purpose", [{}])[0].get("code", ""),
        actors[0].get("reference", {}).get("reference", "") if actors else "",
        node.get("period", {}).get("end", ""),
    )


def _known(given: Iterable[str], codes: tuple[str, ...], what: str) -> None:
    for code in given:
        if code not in codes:
            raise ValueError(f"{code[:60]!r} is no {what} of this page: use one of {', '.join(codes)}.")
