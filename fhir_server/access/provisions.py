"""Consents read for one resource: of every provision what depends on who asks. https://hl7.org/fhir/R4/consent.html

What a provision says of the resource and of time is resolved here; what is left is a Node. Whatever is not understood
cannot permit, and denies wherever it might have been meant to. In plain words: docs/consent.md
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from fhir_server.access.facts import (
    ACT_CODE,
    BROADER_CLASS,
    CONFIDENTIALITY,
    DATA_CLASS,
    LEVELS,
    OF_TYPE,
    TELLS,
    Facts,
    span,
    target,
)
from fhir_server.access.purposes import known
from fhir_server.access.statements import Person, Statement, standing
from fhir_server.fhir.codec import Resource

DEPTH = 5  # of nested provisions that are judged; below, all is denied
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
MEDIA_TYPES = "urn:ietf:bcp:13"
ACTIONS = "http://terminology.hl7.org/CodeSystem/consentaction"
DISEASE = "https://participation.example/fhir/StructureDefinition/research-disease"
STUDY_CONTEXT = "http://hl7.org/fhir/StructureDefinition/consent-ResearchStudyContext"
# Roles of an actor that say: to whom. Any other (custodian, author) tells whose data, which only a denial may mean.
RECIPIENTS = frozenset({"IRCP", "PRCP", "DELEGATEE", "GRANTEE"})
CLASSES = frozenset({*BROADER_CLASS, *BROADER_CLASS.values(), *OF_TYPE.values(), *TELLS, "patient-reported"})

Strings = tuple[str, ...]


class Node(msgspec.Struct, frozen=True, array_like=True):
    """What is left of a provision that applies to a resource: conditions on the request. None: any."""

    permit: bool
    purposes: Strings | None = None
    actors: Strings | None = None
    actions: Strings | None = None
    studies: Strings | None = None
    diseases: Strings | None = None  # `system|code`
    nested: "tuple[Node, ...]" = ()
    at: str = ""  # the provision's path in its Consent; not part of the rule


class Voter(msgspec.Struct, frozen=True, array_like=True):
    """What is left of a Consent. Where it `denies` only, `roots` are its denials; else the one root provision."""

    research: bool
    privacy: bool
    deidentified: bool
    denies: bool
    weak: bool  # a root denial without conditions but time: the frame around its permits, not a refusal of its own
    roots: tuple[Node, ...]
    consent: str = ""  # its reference; not part of the rule


def voters(statements: Iterable[Statement], person: Person, facts: Facts, now: int) -> tuple[Voter, ...]:
    """What the statements of one person say of one resource at `now` (µs since 1970).

    It holds until statements.next_edge."""
    found = (_voter(statement, person, facts, now) for statement in standing(statements, now))
    return tuple(voter for voter in found if voter is not None)


def _voter(statement: Statement, person: Person, facts: Facts, now: int) -> Voter | None:
    root = statement.root
    if root is None:
        return None
    denies = statement.fault != ""
    if not denies and statement.guardian:
        # What a guardian permitted ends when the child comes of age; what they denied stays.
        denies = person.adult is None or person.adult <= now
    frame = root.get("type") == "deny" and root.keys() <= {"id", "type", "period", "provision"}
    weak = frame and any(inner.get("type") == "permit" for inner in root.get("provision", ()))
    if denies:
        roots = tuple(_denials(root, "provision", 1, facts, now))
        if weak and statement.research:
            roots = tuple(node for node in roots if node.at != "provision")
    else:
        node = _node(root, "provision", 1, facts, now)
        roots = () if node is None else (node,)
    if not roots:
        return None
    return Voter(
        statement.research, statement.privacy, statement.deidentified, denies, weak, roots, statement.reference
    )


def _denials(raw: Resource, at: str, depth: int, facts: Facts, now: int) -> Iterable[Node]:
    """Every denial in a Consent that cannot be judged as a whole, wherever it stands."""
    if raw.get("type") == "deny" or depth > DEPTH:
        node = _node({**raw, "type": "deny", "provision": ()}, at, depth, facts, now)
        if node is not None:
            yield node
    if depth <= DEPTH:
        for number, inner in enumerate(raw.get("provision", ())):
            yield from _denials(inner, f"{at}.provision[{number}]", depth + 1, facts, now)


def _node(raw: Resource, at: str, depth: int, facts: Facts, now: int) -> Node | None:
    """A provision as far as it concerns the resource; None if it does not."""
    if depth > DEPTH:
        return Node(False, at=at)
    permit = raw.get("type") == "permit"
    concerns, studies = _of_data(raw.get("data"), permit, facts)
    studies = _in_context(raw.get("extension"), permit, studies)
    if not (
        concerns
        and _of_class(raw.get("class"), permit, facts)
        and _labelled(raw.get("securityLabel"), permit, facts)
        and _coded(raw.get("code"), facts)
        and _dated(raw.get("dataPeriod"), permit, facts)
        and _in_force(raw.get("period"), permit, now)
    ):
        return None
    purposes, actors, actions = (
        _listed(raw.get("purpose"), permit, _purpose),
        _listed(raw.get("actor"), permit, partial(_recipient, permit)),
        _listed(raw.get("action"), permit, _action),
    )
    diseases = [
        f"{coding.get('system', '')}|{coding.get('code', '')}"
        for extension in raw.get("modifierExtension", ())
        for coding in extension.get("valueCodeableConcept", {}).get("coding", ())
    ]
    if permit and () in (purposes, actors, actions):
        return None  # it names some, but none that we know
    nested = (
        _node(inner, f"{at}.provision[{number}]", depth + 1, facts, now)
        for number, inner in enumerate(raw.get("provision", ()))
    )
    return Node(
        permit,
        purposes,
        actors,
        actions,
        studies,
        tuple(sorted(diseases)) if diseases else None,
        tuple(node for node in nested if node is not None),
        at,
    )


def _listed(listed: Sequence[Any] | None, permit: bool, read: Any) -> Strings | None:
    """The values of a condition. A permit keeps none that cannot be read; a denial with one has no condition."""
    if not listed:
        return None
    found = []
    for one in listed:
        try:
            found.append(read(one))
        except (KeyError, TypeError, AttributeError):
            found.append("")
    if not permit and "" in found:
        return None
    return tuple(sorted({value for value in found if value}))


def _purpose(coding: Resource) -> str:
    return str(coding["code"]) if known(coding.get("system", ""), coding["code"]) else ""


def _recipient(permit: bool, actor: Resource) -> str:
    roles = {coding.get("code") for coding in actor["role"].get("coding", ())}
    return target(actor["reference"]["reference"], permit) if roles & RECIPIENTS else ""


def _action(concept: Resource) -> str:
    return next((c["code"] for c in concept.get("coding", ()) if c.get("system") == ACTIONS), "")


def _of_data(listed: Sequence[Resource] | None, permit: bool, facts: Facts) -> tuple[bool, Strings | None]:
    """Whether a provision on certain data is about this resource; and for which studies, where it names those."""
    if listed is None:
        return True, None
    studies: list[str] = []
    for one in listed:
        named = target(one.get("reference", {}).get("reference", ""), permit)
        if named.startswith("ResearchStudy/"):
            studies.append(named.partition("/")[2])
        elif not named:
            if not permit:
                return True, None
        elif named == facts.reference or named in _reached(one.get("meaning", ""), permit, facts):
            return True, None
    return bool(studies), tuple(sorted(studies)) or None


def _in_context(extensions: Sequence[Resource] | None, permit: bool, studies: Strings | None) -> Strings | None:
    """The studies that a provision is for, with those that HL7's extension names. A permit is for what both name, a
    denial for what either does, and for all if one of them cannot be read."""
    named = [
        target(one.get("valueReference", {}).get("reference", ""), permit)
        for one in extensions or ()
        if one.get("url") == STUDY_CONTEXT
    ]
    if not named:
        return studies
    ids = {one.partition("/")[2] for one in named if one.startswith("ResearchStudy/")}
    if permit:
        return tuple(sorted(ids if studies is None else ids & set(studies)))
    return tuple(sorted({*ids, *(studies or ())})) if len(ids) == len(set(named)) else None


def _reached(meaning: str, permit: bool, facts: Facts) -> set[str]:
    """To whom or what a resource is near, in the sense of a `meaning`."""
    if meaning == "instance":
        return set()
    return {target(one, permit) for one in (facts.authors if meaning == "authoredby" else facts.references)}


def _of_class(listed: Sequence[Resource] | None, permit: bool, facts: Facts) -> bool:
    for coding in listed or ():
        system, code = coding.get("system"), coding.get("code", "")
        if system == RESOURCE_TYPES:
            if code in (facts.type, "Resource", "DomainResource"):
                return True
        elif system == MEDIA_TYPES:
            if code in facts.formats:
                return True
        elif code.partition("|")[0] in facts.profiles:
            return True
        elif not permit and "://" not in code:
            return True  # a kind of content that we cannot tell
    return listed is None


def _labelled(listed: Sequence[Resource] | None, permit: bool, facts: Facts) -> bool:
    for coding in listed or ():
        system, code = coding.get("system", ""), coding.get("code", "")
        if system == CONFIDENTIALITY and code in LEVELS:  # a high-water mark
            rank = LEVELS.index(code)
            if facts.level <= rank if permit else facts.level >= rank:
                return True
        elif system == DATA_CLASS or (system, code) == (ACT_CODE, "GDIS"):
            name = code if system == DATA_CLASS else "genomic"
            if name in (facts.classes if permit else facts.told) or (not permit and name not in CLASSES):
                return True
        elif not permit and f"{system}|{code}" in facts.told:
            return True
    return listed is None


def _coded(listed: Sequence[Resource] | None, facts: Facts) -> bool:
    if listed is None:
        return True
    wanted = {(c.get("system", ""), c.get("code", "")) for concept in listed for c in concept.get("coding", ())}
    return not wanted.isdisjoint(facts.codes)


def _dated(period: Resource | None, permit: bool, facts: Facts) -> bool:
    """Data without a date are in no permitted period, and in every denied one."""
    if period is None:
        return True
    asked, when = _span(period), facts.when
    if asked is None or when is None:
        return not permit
    if permit and facts.type != "Encounter":
        return asked[0] <= when[0] and when[1] <= asked[1]
    return when[0] < asked[1] and asked[0] < when[1]


def _in_force(period: Resource | None, permit: bool, now: int) -> bool:
    if not period or not {"start", "end"} & period.keys():
        return True
    asked = _span(period)
    return asked[0] <= now < asked[1] if asked is not None else not permit


def _span(period: Resource) -> tuple[int, int] | None:
    """A period as [low, high); None if it cannot be read."""
    try:
        return span(period)
    except ValueError:
        return None
