"""Every grant of the token endpoint: a literal table. https://www.rfc-editor.org/rfc/rfc6749#section-4"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fhir_server.auth.code import redeem
from fhir_server.auth.credentials import client_credentials
from fhir_server.auth.records import Client
from fhir_server.auth.refresh import renew
from fhir_server.server import Server

Grant = Callable[[Server, Client, Mapping[str, str]], Awaitable[dict[str, Any]]]

GRANTS: dict[str, Grant] = {
    "authorization_code": redeem,
    "refresh_token": renew,
    "client_credentials": client_credentials,
}
