"""May the matcher look at a patient's record? The one place where matching asks consent.

The matcher and the match operations always ask for the purpose of clinical trial research, whoever calls them:
https://terminology.hl7.org/CodeSystem-v3-ActReason.html
"""

from collections.abc import Iterable

from fhir_server.access.consent import Decision, permits
from fhir_server.fhir.codec import Resource

PURPOSE = "CLINTRCH"


def consented(consents: Iterable[Resource], now: int) -> Decision:
    """Whether a patient's Consents permit matching with trials at time `now` (µs), and which of them decided it."""
    return permits(consents, PURPOSE, now)
