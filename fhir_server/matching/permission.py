"""May the matcher look at a patient's record? The one place where matching asks consent. docs/consent.md

The matcher and the match operations always ask for the purpose of clinical trial research, whoever calls them. First
for no study in particular: without that nothing is read. Then for each study: a patient may except one.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fhir_server.access.consent import Decision, Node, Request, Voter, decide, voters
from fhir_server.access.facts import Facts
from fhir_server.access.statements import next_edge, person_of, statement_of
from fhir_server.fhir.codec import Resource
from fhir_server.search.predicate import Predicate
from fhir_server.server import Server
from fhir_server.terminology.codes import Terminology

# "-" is no study that a consent could name.
ASKED = Request("CLINTRCH", actions=frozenset({"access", "use"}), study="-")


class Permission(NamedTuple):
    """What a patient's Consents say of matching with trials, and which of them decided it."""

    decision: Decision
    rule: tuple[Voter, ...]
    by_study: bool  # whether any of them names studies
    edge: int  # when (µs) time alone may change what they say

    @property
    def permit(self) -> bool:
        """Whether the record may be looked at."""
        return self.decision.permit

    def of_study(self, id: str) -> bool:
        """Whether it may be matched with this study."""
        if not (self.permit and self.by_study):
            return self.permit
        return decide(self.rule, ASKED._replace(study=id)).permit

    def permits(self, purpose: str, study: str) -> bool:
        """Whether the Consents permit a purpose, such as being told of it, for a study."""
        return decide(self.rule, ASKED._replace(purpose=purpose, study=study)).permit


def consented(server: Server, patient: Resource, consents: Iterable[Resource], now: int) -> Permission:
    """What a patient's Consents permit the matcher at time `now` (µs since 1970)."""
    person = person_of([patient], server.settings.adult_age)
    statements = [one for consent in consents if (one := statement_of(consent, person)) is not None]
    rule = voters(statements, person, Facts(patient, Terminology()), now)
    by_study = any(_names_studies(voter.roots) for voter in rule)
    return Permission(decide(rule, ASKED), rule, by_study, next_edge(statements, person, now))


def _names_studies(nodes: Sequence[Node]) -> bool:
    return any(node.studies is not None or _names_studies(node.nested) for node in nodes)


async def seen(server: Server) -> Predicate:
    """The resources that consent permits the matcher to see now."""
    await server.consents.rules.fresh(server.store, at_once=True)
    return server.consents.rules.allowed(ASKED).at(server.clock())
