"""May the matcher look at a person's record? The one place where matching asks consent. docs/consent.md

The matcher and the match operations always ask for the purpose of clinical trial research, whoever calls them: for no
study in particular, and once more for each study that the person's Consents name. Where that is not permitted nothing
is read. All Patients that are one person are asked for together: what any of them denies is denied.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from fhir_server.access.consent import Request, decide
from fhir_server.access.facts import Facts
from fhir_server.access.judging import Policy, read_policy
from fhir_server.access.provisions import Voter, voters
from fhir_server.access.statements import Person, Statement, next_edge, person_of, statement_of, studies_named
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.search.predicate import Predicate
from fhir_server.server import Server
from fhir_server.terminology.codes import Terminology

NO_STUDY = "-"  # no study that a consent could name
ASKED = Request("CLINTRCH", actions=frozenset({"access", "use"}), study=NO_STUDY)


class Permission(NamedTuple):
    """What a person's Consents say of matching with trials."""

    rules: tuple[tuple[Voter, ...], ...]  # of each of their Patient resources; all must permit
    general: bool  # whether they may be matched with studies that no Consent names
    named: frozenset[str]  # the studies that Consents name, to permit or to deny
    edge: int  # when (µs) time alone may change what they say
    versions: Mapping[str, str]  # the Consents by reference, each with its version

    def of_study(self, id: str) -> bool:
        """Whether they may be matched with this study."""
        return self.permits(ASKED.purpose, id) if id in self.named else self.general

    def permits(self, purpose: str, study: str) -> bool:
        """Whether the Consents permit a purpose, such as being told of it, for a study."""
        asked = ASKED._replace(purpose=purpose, study=study)
        return all(decide(rule, asked).permit for rule in self.rules)

    def deciding(self, study: str = NO_STUDY) -> tuple[str, ...]:
        """The Consents that decide about a study, as versioned references."""
        asked = ASKED._replace(study=study)
        found = {one.consent for rule in self.rules for one in decide(rule, asked).by}
        return tuple(version for reference, version in self.versions.items() if reference in found)


def consented(patients: Sequence[Resource], policy: bytes | None, now: int) -> Permission:
    """What the Consents of a person, as they are stored, permit at time `now` (µs since 1970)."""
    if policy is None:
        return _permission(patients, Person((), None), (), {}, now)
    person, statements = read_policy(policy)
    return _permission(patients, person, statements, _versions(policy), now)


def brought(server: Server, patient: Resource, consents: Iterable[Resource], now: int) -> Permission:
    """The same of Consents that somebody brings."""
    person = person_of([patient], server.settings.adult_age)
    statements = [one for consent in consents if (one := statement_of(consent, person)) is not None]
    return _permission([patient], person, statements, {}, now)


def _permission(
    patients: Sequence[Resource], person: Person, statements: Sequence[Statement], versions: Mapping[str, str], now: int
) -> Permission:
    rules = tuple(voters(statements, person, Facts(patient, Terminology()), now) for patient in patients)
    named = frozenset[str]().union(*(studies_named(statement.root) for statement in statements))
    general = bool(rules) and all(decide(rule, ASKED).permit for rule in rules)
    return Permission(rules, general, named, next_edge(statements, person, now), versions)


@lru_cache(maxsize=10_000)
def _versions(policy: bytes) -> Mapping[str, str]:
    consents = [codec.decode(bytes(raw)) for raw in msgspec.json.decode(policy, type=Policy).consents]
    named = ((f"Consent/{one['id']}", one["meta"]["versionId"]) for one in consents)
    return {reference: f"{reference}/_history/{version}" for reference, version in named}


async def seen(server: Server, study: str = NO_STUDY) -> Predicate:
    """The resources that consent permits the matcher to see now, for a study."""
    await server.consents.rules.fresh(server.store, at_once=True)
    return server.consents.rules.allowed(ASKED._replace(study=study)).at(server.clock())
