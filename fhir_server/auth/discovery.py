"""Where a client finds the authorization server, and what it can do. https://hl7.org/fhir/smart-app-launch/conformance.html"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.auth.grants import GRANTS
from fhir_server.auth.jose import ASSERTION_ALGORITHMS
from fhir_server.server import Server
from fhir_server.settings import Settings

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
# Of the types in US Core, and of the categories that US Core lets a patient choose among.
_TYPES = """AllergyIntolerance CarePlan CareTeam Condition Consent Coverage Device DiagnosticReport DocumentReference
Encounter Goal Immunization Location Medication MedicationDispense MedicationRequest Observation Organization Patient
Practitioner PractitionerRole Procedure Provenance QuestionnaireResponse RelatedPerson ResearchStudy ResearchSubject
ServiceRequest Specimen""".split()  # noqa: SIM905 - read as prose
_CONDITION = "http://terminology.hl7.org/CodeSystem/condition-category"
_OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
_US_CORE = "http://hl7.org/fhir/us/core/CodeSystem"
_GRANULAR = (
    f"Condition.rs?category={_CONDITION}|encounter-diagnosis",
    f"Condition.rs?category={_CONDITION}|problem-list-item",
    f"Condition.rs?category={_US_CORE}/condition-category|health-concern",
    *(f"Observation.rs?category={_OBSERVATION}|{code}" for code in ("laboratory", "social-history", "survey")),
    f"Observation.rs?category={_OBSERVATION}|vital-signs",
    f"Observation.rs?category={_US_CORE}/us-core-category|sdoh",
    f"DocumentReference.rs?category={_US_CORE}/us-core-documentreference-category|clinical-note",
)
SCOPES = (
    "openid",
    "fhirUser",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    *(f"{context}/{what}" for context in ("patient", "user", "system") for what in ("*.rs", "*.cruds")),
    *(f"{context}/{type}.rs" for context in ("patient", "user", "system") for type in _TYPES),
    *(f"{context}/{what}" for context in ("patient", "user") for what in _GRANULAR),
)


def configuration(settings: Settings) -> dict[str, Any]:
    """The SMART configuration; each address in it answers."""
    issuer = settings.issuer
    found = {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks",
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "management_endpoint": f"{issuer}/apps",
        "grant_types_supported": sorted({"authorization_code", "refresh_token", *GRANTS}),
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": list(SCOPES),
        "capabilities": list(CAPABILITIES),
    }
    if settings.registration == "open":
        found["registration_endpoint"] = f"{issuer}/register"
    return found


def oauth_uris(settings: Settings) -> dict[str, str]:
    """The same addresses under the names that the CapabilityStatement has for them."""
    found = configuration(settings)
    names = {"authorize": "authorization", "token": "token", "introspect": "introspection", "revoke": "revocation"}
    names |= {"manage": "management", "register": "registration"}
    return {name: found[f"{word}_endpoint"] for name, word in names.items() if f"{word}_endpoint" in found}


async def smart(server: Server, request: Request) -> Response:
    """GET /.well-known/smart-configuration, at the origin and below the FHIR base: JSON, whatever Accept says."""
    return _public(configuration(server.settings))


async def openid(server: Server, request: Request) -> Response:
    """GET /.well-known/openid-configuration, at the origin and below the issuer."""
    more = {
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"],
    }
    return _public(configuration(server.settings) | more)


def _public(body: dict[str, Any]) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "public, max-age=300"})
