"""A second reading of what Consents permit, to be obviously right and slow: the oracle of consent_random_test.py.

It takes a Consent, a request and a resource as they are and asks each provision all its questions at once; it knows
nothing of rules, of statements, or of what is resolved when. Of the product it uses what a resource is (facts.py), and
the tree of purposes.
"""

from typing import Any

from fhir_server.access.consent import Request
from fhir_server.access.facts import ACT_CODE, CONFIDENTIALITY, DATA_CLASS, Facts
from fhir_server.access.purposes import lineage
from fhir_server.fhir.dates import bounds
from tests.access.statements_world import Resource

RESEARCH = ("HRESCH", "contact")
FAR = 1 << 62


def decision(consents: list[Resource], patient: Resource, resource: Facts, request: Request, now: int) -> bool:
    votes = [vote(one, patient, resource, request, now) for one in consents if counts(one, consents, now)]
    if "deny" in votes:
        return False
    if "permit" in votes:
        return True
    return request.treatment and "TREAT" in lineage(request.purpose)


def scope(consent: Resource) -> str:
    return str(consent["scope"]["coding"][0]["code"])


def line(consent: Resource) -> Any:
    root = consent.get("provision", {})
    named = [one["reference"]["reference"] for one in root.get("data", ())]
    named += [one["valueReference"]["reference"] for one in root.get("extension", ())]
    policies = (sorted(p["uri"] for p in consent.get("policy", ())), str(consent.get("policyRule")))
    return scope(consent), policies, sorted({one for one in named if one.startswith("ResearchStudy/")})


def counts(consent: Resource, consents: list[Resource], now: int) -> bool:
    """Active, said by now, and not superseded by a newer statement of the same line."""

    def made(one: Resource) -> int:
        return bounds(one["dateTime"])[0] if "dateTime" in one else -FAR

    said = [one for one in consents if one["status"] in ("active", "inactive", "rejected") and made(one) <= now]
    newer = [one for one in said if line(one) == line(consent) and made(one) > made(consent)]
    return consent in said and consent["status"] == "active" and not newer


def vote(consent: Resource, patient: Resource, resource: Facts, request: Request, now: int) -> str | None:
    research = not set(RESEARCH).isdisjoint(lineage(request.purpose))
    if scope(consent) == "research" and not research:
        return None
    root = consent.get("provision")
    if root is None:
        return None

    def met(node: Resource, permit: bool) -> bool:
        return applies(node, permit, resource, request, now)

    def explicit(node: Resource, depth: int = 1) -> bool:
        here = depth > 5 or node.get("type") == "deny"
        inner = any(explicit(one, depth + 1) for one in node.get("provision", ())) if depth <= 5 else False
        return (here and met(node, False) if depth <= 5 else True) or inner

    whole = root.get("type") in ("permit", "deny") and "dateTime" in consent and not modified(consent)
    guardian = any("RelatedPerson" in one["reference"] for one in consent.get("performer", ()))
    if guardian and adult(patient, now):
        whole = False
    permits = any(one["type"] == "permit" for one in root.get("provision", ()))
    frame = set(root) <= {"type", "period", "provision"} and scope(consent) == "research" and permits
    if not whole:
        if frame and root.get("type") == "deny":
            return "deny" if any(explicit(one, 2) for one in root["provision"]) else None
        return "deny" if explicit(root) else None

    def evaluate(node: Resource, depth: int = 1) -> str | None:
        if depth > 5:
            return "deny"
        permit = node["type"] == "permit"
        if not met(node, permit):
            return None
        found = [evaluate(one, depth + 1) for one in node.get("provision", ())]
        if "deny" in found:
            return "deny"
        return "permit" if "permit" in found else str(node["type"])

    result = evaluate(root)
    if result == "deny" and frame and "deny" not in [evaluate(one, 2) for one in root.get("provision", ())]:
        return None
    if result == "permit" and research and scope(consent) != "research":
        return None
    return result


def adult(patient: Resource, now: int) -> bool:
    if "birthDate" not in patient:
        return True
    year, rest = patient["birthDate"][:4], patient["birthDate"][4:]
    rest = "-03-01" if rest == "-02-29" else rest  # 18 years later there is no 29 February
    return bounds(f"{int(year) + 18}{rest}")[0] <= now


def modified(node: Any) -> bool:
    if isinstance(node, dict):
        return "modifierExtension" in node or any(map(modified, node.values()))
    return isinstance(node, list) and any(map(modified, node))


def applies(node: Resource, permit: bool, resource: Facts, request: Request, now: int) -> bool:
    if "period" in node:
        start = bounds(node["period"]["start"])[0] if "start" in node["period"] else -FAR
        end = bounds(node["period"]["end"])[1] if "end" in node["period"] else FAR
        if not start <= now < end:
            return False
    if "purpose" in node and not {one["code"] for one in node["purpose"]} & set(lineage(request.purpose)):
        return False
    if "actor" in node:
        named = {one["reference"]["reference"] for one in node["actor"]}
        unknown = not any(one.startswith("Organization/") for one in request.actors)
        if not named & request.actors and (permit or not unknown):
            return False
    if "action" in node:
        codes = {coding["code"] for one in node["action"] for coding in one["coding"]}
        if not codes & request.actions:
            return False
    if "class" in node and resource.type not in {one["code"] for one in node["class"]}:
        return False
    if "securityLabel" in node and not any(labelled(one, permit, resource) for one in node["securityLabel"]):
        return False
    if "code" in node:
        wanted = {(c["system"], c["code"]) for one in node["code"] for c in one["coding"]}
        if not wanted & resource.codes:
            return False
    if "dataPeriod" in node:
        low = bounds(node["dataPeriod"]["start"])[0] if "start" in node["dataPeriod"] else -FAR
        high = bounds(node["dataPeriod"]["end"])[1] if "end" in node["dataPeriod"] else FAR
        if resource.when is None:
            if permit:
                return False
        elif permit:
            if resource.when[0] < low or resource.when[1] > high:
                return False
        elif resource.when[1] <= low or resource.when[0] >= high:
            return False
    studies: list[set[str]] = []
    if "data" in node:
        named = {one["reference"]["reference"] for one in node["data"]}
        if resource.reference not in named:
            studies.append(studies_in(named))
            if not studies[0]:
                return False
    if "extension" in node:
        studies.append(studies_in({one["valueReference"]["reference"] for one in node["extension"]}))
    if permit:
        return all(request.study in one for one in studies)
    return not studies or not request.study or any(request.study in one for one in studies)


def studies_in(references: set[str]) -> set[str]:
    return {one.partition("/")[2] for one in references if one.startswith("ResearchStudy/")}


def labelled(coding: Resource, permit: bool, resource: Facts) -> bool:
    order = "ULMNRV"
    if coding["system"] == CONFIDENTIALITY:
        asked = order.index(coding["code"])
        return resource.level <= asked if permit else resource.level >= asked
    if coding["system"] == DATA_CLASS:
        return coding["code"] in (resource.classes if permit else resource.told)
    return coding["system"] == ACT_CODE and "genomic" in (resource.classes if permit else resource.told)
