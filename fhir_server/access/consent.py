"""May a use be made of a resource? The decision of its patient's Consents. https://hl7.org/fhir/R4/consent.html

In two steps. `voters` (provisions.py) takes the Consents, one resource and the time, and leaves of every provision what
depends on who asks: that is the rule of the resource, the same for all resources of a patient about which the Consents
say the same. `decide` takes a rule and a request. Semantics, in plain words: docs/consent.md
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from fhir_server.access.facts import Facts
from fhir_server.access.provisions import Node, Voter, voters
from fhir_server.access.purposes import is_research, is_treatment, lineage
from fhir_server.access.statements import person_of, statement_of
from fhir_server.fhir.codec import Resource
from fhir_server.terminology.codes import Terminology

RESULTS = "contact-results"  # the purpose of telling a person of results

Vote = Literal["permit", "deny"]


class Request(NamedTuple):
    """Who wants to do what, and why. Nothing of it comes from a header of the request."""

    purpose: str  # v3-ActReason, or one of ours (access/purposes.py)
    actors: frozenset[str] = frozenset()  # references to all that the caller is and belongs to
    actions: frozenset[str] = frozenset({"access"})  # what is done; a permit must name one of them
    study: str = ""  # id of the ResearchStudy
    diseases: frozenset[str] = frozenset()  # of the study, with all above them: `system|code`
    treatment: bool = True  # whether care is permitted where no consent speaks of it: the deployment's policy


class Found(NamedTuple):
    """A provision that decided."""

    consent: str
    at: str
    vote: Vote


class Decision(NamedTuple):
    """Whether the use is permitted, whether only without identity, and by which provisions (none: the default)."""

    permit: bool
    deidentified: bool
    by: tuple[Found, ...]


def decide(rule: Sequence[Voter], request: Request) -> Decision:
    """Any denial wins over every permit; what nothing permits is denied, care as the deployment says."""
    research = is_research(request.purpose)
    found: list[Found] = []
    hidden = False
    for voter in rule:
        if not (voter.privacy or (research and voter.research)):
            continue
        cast = _cast(voter, request, research)
        if cast is not None:
            node, vote = cast
            found.append(Found(voter.consent, node.at, vote))
            hidden = hidden or (vote == "permit" and voter.deidentified)
    denied = tuple(one for one in found if one.vote == "deny")
    if denied:
        return Decision(False, False, denied)
    if found:
        return Decision(True, hidden, tuple(found))
    return Decision(request.treatment and is_treatment(request.purpose), False, ())


def told_at_once(rule: Sequence[Voter]) -> bool:
    """Whether the person chose, in so many words, to be told of results, and nothing denies it: a permit of everything
    does not say that."""
    return any(_names(voter.roots, RESULTS) for voter in rule) and decide(rule, Request(RESULTS)).permit


def _names(nodes: Iterable[Node], purpose: str) -> bool:
    return any(
        (node.permit and not set(node.purposes or ()).isdisjoint(lineage(purpose))) or _names(node.nested, purpose)
        for node in nodes
    )


def permits(consents: Iterable[Resource], patient: Resource, request: Request, now: int, adult_age: int) -> Decision:
    """Decide about the Patient resource of one person by their Consents; `now` in µs since 1970."""
    person = person_of([patient], adult_age)
    statements = [one for consent in consents if (one := statement_of(consent, person)) is not None]
    return decide(voters(statements, person, Facts(patient, Terminology()), now), request)


def _cast(voter: Voter, request: Request, research: bool) -> tuple[Node, Vote] | None:
    if voter.denies:
        return next(((node, "deny") for node in voter.roots if _asked(node, request)), None)
    (root,) = voter.roots
    cast = _evaluate(root, request)
    if cast is None:
        return None
    node, vote = cast
    if vote == "deny" and node is root and voter.weak and voter.research:
        return None
    if vote == "permit" and research and not voter.research:
        return None  # research takes a research consent
    return cast


def _evaluate(node: Node, request: Request) -> tuple[Node, Vote] | None:
    """The provision that decides: the most specific that applies; among siblings a denial."""
    if not _asked(node, request):
        return None
    votes = [cast for inner in node.nested if (cast := _evaluate(inner, request)) is not None]
    for wanted in ("deny", "permit"):
        for cast in votes:
            if cast[1] == wanted:
                return cast
    return node, "permit" if node.permit else "deny"


def _asked(node: Node, request: Request) -> bool:
    """Whether a provision's conditions on the request are met."""
    if node.purposes is not None and not set(node.purposes) & set(lineage(request.purpose)):
        return False
    if node.actors is not None and not request.actors & set(node.actors):
        # A caller whose organization is not known may be any of them.
        if node.permit or any(one.startswith("Organization/") for one in request.actors):
            return False
        if all(one.split("/")[0] in ("Practitioner", "Patient", "RelatedPerson") for one in node.actors):
            return False
    if node.actions is not None and not request.actions & set(node.actions):
        return False
    if node.studies is not None and request.study not in node.studies and (node.permit or request.study):
        return False
    return node.diseases is None or bool(request.diseases & set(node.diseases)) or not (node.permit or request.diseases)
