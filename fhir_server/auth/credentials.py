"""The grant of backend services: a client acts on its own, as far as it was registered to. https://hl7.org/fhir/smart-app-launch/backend-services.html"""

from collections.abc import Mapping
from typing import Any

from fhir_server.access.scopes import grantable, read_scope
from fhir_server.auth.errors import OAuthError
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.tokens import SECOND, issue_alone
from fhir_server.server import Server

LONGEST_SCOPE = 20_000  # characters


async def client_credentials(server: Server, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    """A token for the client itself, with those of the system scopes asked for that it may have.

    Raises OAuthError 400 unauthorized_client for a client with a shared secret or without this grant, invalid_scope if
    nothing of what it asks for can be granted.
    """
    if client.kind != "asymmetric" or "client_credentials" not in client.grants:
        raise OAuthError(400, "unauthorized_client", "This grant is for clients registered for it with a key set.")
    asked = form.get("scope", "")
    if len(asked) > LONGEST_SCOPE:
        raise OAuthError(400, "invalid_scope", "The scope is too long.")
    scopes = tuple(text for text in grantable(server.definitions, asked, client.scopes) if _of_system(server, text))
    if not scopes:
        raise OAuthError(400, "invalid_scope", "None of the scopes asked for can be granted to this client.")
    seconds, now = server.settings.backend_lifetime, server.clock()
    authorization = Authorization(
        client=client.id,
        scopes=scopes,
        role=client.role,
        purposes=client.purposes,
        actors=client.actors,
        study=client.study,
        made=now,
        expires=now + seconds * SECOND,
    )
    token = await issue_alone(server, authorization, seconds)
    return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, "scope": " ".join(scopes)}


def _of_system(server: Server, text: str) -> bool:
    scope = read_scope(server.definitions, text)
    return scope is not None and scope.context == "system"
