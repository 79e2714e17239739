"""Pages as responses, and forms as they come in. https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Content-Security-Policy

Pages need no script and load nothing but one style sheet; every value in them is escaped.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fhir_server.auth.errors import OAuthError
from fhir_server.auth.flow import Parameters, Refused, Sent
from fhir_server.auth.records import fresh
from fhir_server.auth.session import Visit, csrf, give, sound, visit
from fhir_server.rest.errors import told
from fhir_server.server import Server

Handler = Callable[[Server, Request], Awaitable[Response]]

FOLDER = Path(__file__).with_name("pages")
LONGEST = 64_000  # bytes of a form
_PAGES = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
_TARGET = re.compile(
    r"(https?://(?:[A-Za-z0-9.\-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]+)?)(?:[/?].*)?|([a-z][a-z0-9+.\-]*:).*"
)


def handled(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a handler: what it raises becomes a page, or a way back to the client."""

    async def endpoint(request: Request) -> Response:
        request.scope["interaction"] = f"auth-{handler.__name__}"
        server: Server | None = request.app.state.fhir.server
        try:
            if server is None:
                raise Refused(503, "The server is starting", "Try again in a moment.")
            return await handler(server, request)
        except Sent as sent:
            return away(sent.url)
        except Refused as error:
            return _dressed(_render("refused.html", title=error.title, text=error.text), error.status)
        except OAuthError as error:
            return _dressed(_render("refused.html", title="Not now", text=error.description), error.status)
        except Exception as error:
            refusal = told(error, request.scope.get("request_id", ""))
            text = " ".join(issue.diagnostics for issue in refusal.issues)
            return _dressed(_render("refused.html", title="That did not work", text=text), refusal.status)

    return endpoint


def page(server: Server, seen: Visit, template: str, status: int = 200, redirect: str = "", **values: Any) -> Response:
    """A page for a browser, which is given its cookie with it. Its forms may lead on to `redirect`."""
    cookie = seen.cookie or fresh()
    response = _dressed(_render(template, csrf=csrf(cookie), user=seen.user, **values), status, redirect)
    if not seen.cookie:
        give(server, response, cookie)
    return response


def away(url: str) -> Response:
    """To another address, by GET, whatever the request was."""
    return RedirectResponse(url, 303, {"cache-control": "no-store", "referrer-policy": "no-referrer"})


def onward(path: str, **query: str) -> Response:
    """To another of our pages: relative, because only the browser knows under which address it sees us."""
    return away(f"{path}?{urlencode(query)}" if query else path)


async def form(request: Request) -> Parameters:
    """The fields of a form. Raises Refused: too long, no form, or not UTF-8."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise Refused(415, "That was no form", "Send application/x-www-form-urlencoded.")
    return pairs(await body(request))


async def body(request: Request) -> bytes:
    """The body of a request. Raises Refused if it is too long."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > LONGEST:
            raise Refused(413, "That was too much", f"The request exceeds {LONGEST:,} bytes.")
    return bytes(read)


def pairs(text: bytes) -> Parameters:
    """Names and values of a form or a query. Raises Refused for what cannot be read."""
    try:
        return parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=500)
    except ValueError:
        raise Refused(400, "The request cannot be read", "Its parameters are not well encoded.") from None


async def posted(server: Server, request: Request) -> tuple[Visit, dict[str, str], tuple[str, ...]]:
    """Browser, fields and the scopes ticked in one of our own forms. Raises Refused 403 for a form of anyone else."""
    fields = await form(request)
    seen = await visit(server, request)
    if not sound(seen, dict(fields).get("csrf", "")):
        raise Refused(403, "This form has expired", "Go back, load the page again and repeat what you did.")
    return seen, dict(fields), tuple(value for name, value in fields if name == "scope")


def _render(template: str, **values: Any) -> str:
    return _PAGES.get_template(template).render(values)


def _dressed(html: str, status: int, redirect: str = "") -> Response:
    found = _TARGET.fullmatch(redirect)
    target = f" {found[1] or found[2]}" if found and not found[0].lower().startswith(("javascript:", "data:")) else ""
    policy = (
        f"default-src 'none'; style-src 'self'; form-action 'self'{target}; frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    return Response(html, status, headers, "text/html; charset=utf-8")
