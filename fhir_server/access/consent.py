"""May a purpose use a patient's record? A first cut of consent that permits only what it fully understands.
https://hl7.org/fhir/R4/consent.html

Judged: status, scope, dateTime, supersession, provision type, period, purpose and nesting. A permit with any other
condition (actor, class, label, code, data, unknown modifierExtension) does not count, a deny with one does.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
# Each purpose of use of the research family with the one above it in v3-ActReason.
BROADER: Mapping[str, str] = {
    "HRESCH": "PurposeOfUse",
    "BIORCH": "HRESCH",
    "CLINTRCH": "HRESCH",
    "DSRCH": "HRESCH",
    "POARCH": "HRESCH",
    "TRANSRCH": "HRESCH",
    "CLINTRCHNPC": "CLINTRCH",
    "CLINTRCHPC": "CLINTRCH",
}
DEPTH = 5
_JUDGED = frozenset({"id", "type", "period", "purpose", "action", "provision"})
_USES = frozenset({"access", "use"})

Vote = Literal["permit", "deny"]


class Decision(NamedTuple):
    """Whether the use is permitted, and the Consents that decided it (none: nothing permits it)."""

    permit: bool
    consents: tuple[Resource, ...]


def permits(consents: Iterable[Resource], purpose: str, now: int) -> Decision:
    """Decide for one patient's Consents and a v3-ActReason purpose of the research family at time `now` (µs).

    Any deny wins over every permit; nothing permits by default.
    """
    votes = [(consent, _vote(consent, purpose, now)) for consent in _current(consents, now)]
    denies = tuple(consent for consent, vote in votes if vote == "deny")
    if denies:
        return Decision(False, denies)
    grants = tuple(consent for consent, vote in votes if vote == "permit")
    return Decision(bool(grants), grants)


def _current(consents: Iterable[Resource], now: int) -> list[Resource]:
    """The active Consents that no newer statement of the same line (scope and policy) supersedes.

    A newer `inactive` or `rejected` one supersedes as well: a revocation must not bring an older permit back.
    """
    lines: dict[tuple[Any, ...], list[tuple[tuple[int, int], Resource]]] = {}
    for consent in consents:
        scope = _codes(consent.get("scope"), SCOPE) & {"research", "patient-privacy"}
        made = _low(consent.get("dateTime"))
        if not scope or consent.get("status") not in ("active", "inactive", "rejected") or (made or 0) > now:
            continue
        rank = (made if made is not None else -(1 << 62), _low(consent.get("meta", {}).get("lastUpdated")) or 0)
        lines.setdefault((frozenset(scope), *_policy(consent)), []).append((rank, consent))
    newest: list[Resource] = []
    for line in lines.values():
        top = max(rank for rank, _ in line)
        newest += [consent for rank, consent in line if rank == top]
    return [consent for consent in newest if consent["status"] == "active"]


def _policy(consent: Resource) -> tuple[frozenset[str], frozenset[str]]:
    uris = frozenset(policy.get("uri", "") for policy in consent.get("policy", ()))
    return uris, frozenset(c.get("code", "") for c in consent.get("policyRule", {}).get("coding", ()))


def _vote(consent: Resource, purpose: str, now: int) -> Vote | None:
    root = consent.get("provision")
    if root is None:
        return None
    vote = _evaluate(root, purpose, now, 1)
    judged = root.get("type") in ("permit", "deny") and consent.get("dateTime") and not _modified(consent)
    if not judged:
        return "deny" if _denies_somewhere(root, purpose, now, 1) else None
    nested = root.get("provision", ())
    if vote == "deny" and root["type"] == "deny" and _weak(root) and any(n.get("type") == "permit" for n in nested):
        explicit = any(_evaluate(n, purpose, now, 2) == "deny" for n in nested)
        return "deny" if explicit or "research" not in _codes(consent.get("scope"), SCOPE) else None
    if vote == "permit" and "research" not in _codes(consent.get("scope"), SCOPE):
        return None
    return vote


def _weak(root: Resource) -> bool:
    """A root deny without conditions: the frame around its permits rather than a refusal of its own."""
    return root.keys() <= {"id", "type", "provision"}


def _evaluate(node: Resource, purpose: str, now: int, depth: int) -> Vote | None:
    """The vote of a provision: the most specific rule that applies wins, among siblings deny wins."""
    kind: Vote = "permit" if node.get("type") == "permit" or (depth == 1 and "type" not in node) else "deny"
    if not _applies(node, kind, purpose, now):
        return None
    nested = node.get("provision", ())
    if nested and depth >= DEPTH:
        return "deny"
    votes = {_evaluate(child, purpose, now, depth + 1) for child in nested}
    return "deny" if "deny" in votes else "permit" if "permit" in votes else kind


def _denies_somewhere(node: Resource, purpose: str, now: int, depth: int) -> bool:
    if depth > DEPTH or (node.get("type") == "deny" and _applies(node, "deny", purpose, now)):
        return True
    return any(_denies_somewhere(child, purpose, now, depth + 1) for child in node.get("provision", ()))


def _applies(node: Resource, kind: Vote, purpose: str, now: int) -> bool:
    if not _in_period(node.get("period"), kind, now):
        return False
    if not _for_purpose(node.get("purpose"), kind, purpose):
        return False
    if kind == "deny":
        return True
    if not node.keys() <= _JUDGED:
        return False
    actions = {c.get("code") for action in node.get("action", ()) for c in action.get("coding", ())}
    return "action" not in node or bool(actions & _USES)


def _for_purpose(listed: list[Resource] | None, kind: Vote, purpose: str) -> bool:
    if listed is None:
        return True
    if kind == "deny" and any(coding.get("system") != ACT_REASON for coding in listed):
        return True
    wanted = {coding.get("code") for coding in listed if coding.get("system") == ACT_REASON}
    step: str | None = purpose
    while step is not None:
        if step in wanted:
            return True
        step = BROADER.get(step)
    return False


def _in_period(period: Resource | None, kind: Vote, now: int) -> bool:
    if not period:
        return True
    try:
        starts = bounds(period["start"])[0] if "start" in period else now
        ends = bounds(period["end"])[1] if "end" in period else now + 1
    except ValueError:
        return kind == "deny"
    return starts <= now < ends


def _modified(node: Any) -> bool:
    """Whether any modifierExtension hides below: none is known here, so each may change the meaning."""
    if isinstance(node, dict):
        return "modifierExtension" in node or any(_modified(value) for key, value in node.items() if key != "text")
    return isinstance(node, list) and any(map(_modified, node))


def _codes(concept: Resource | None, system: str) -> set[str]:
    return {c.get("code", "") for c in (concept or {}).get("coding", ()) if c.get("system") == system}


def _low(text: str | None) -> int | None:
    try:
        return bounds(text)[0] if text else None
    except ValueError:
        return None
