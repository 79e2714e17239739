"""What a request to the authorization server carries: one form, each parameter once. https://www.rfc-editor.org/rfc/rfc6749#section-3.2"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from fhir_server.auth.errors import invalid_request

LARGEST = 65_536  # bytes
_SECRET = frozenset(
    {"access_token", "client_assertion", "client_secret", "code", "code_verifier", "password", "refresh_token", "token"}
)


async def read_form(request: Request) -> dict[str, str]:
    """The parameters of the form in the body; those without a value count as absent.

    Raises OAuthError 400 invalid_request for another content type, a form that is too large or malformed, a parameter
    given twice, and a secret in the address, where logs would keep it.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise invalid_request("The body must be application/x-www-form-urlencoded.")
    if _SECRET & {name for name, _ in _pairs(request.url.query)}:
        raise invalid_request("Secrets belong into the body, not into the address: consider this one known to others.")
    pairs = _pairs(await read_bytes(request))
    found = {name: value for name, value in pairs if value}
    if len(found) < sum(1 for _, value in pairs if value):
        raise invalid_request("A parameter is given twice.")
    return found


async def read_bytes(request: Request) -> str:
    """The body as text, in bounded memory. Raises OAuthError 400 invalid_request if it is too large or no UTF-8."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                raise invalid_request(f"The body is larger than {LARGEST} bytes.")
    except ClientDisconnect:
        raise invalid_request("The request ended before its body was complete.") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise invalid_request("The body is not UTF-8.") from None


def raw_headers(request: Request) -> Mapping[bytes, bytes]:
    """The headers by lower-case name. Raises OAuthError 400 invalid_request for more than one Authorization."""
    pairs = request.scope["headers"]
    if sum(name == b"authorization" for name, _ in pairs) > 1:
        raise invalid_request("There is more than one Authorization header.")
    return dict(pairs)


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="strict")
    except ValueError:
        raise invalid_request("The form is malformed.") from None
