"""A resource for a person with a browser: its JSON, readable, with links to what it refers to on this server.

Nothing of a resource is ever markup here: no narrative, no attachment, no Binary is rendered. All text is escaped, and
the Content-Security-Policy allows one stylesheet and nothing else. https://hl7.org/fhir/R4/security.html#narrative
"""

import re
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from fhir_server.fhir.codec import decode

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
nav a { display: inline-block; padding: .5rem 1rem .5rem 0; }
pre { font: .9rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
b { font-weight: 600; }
"""
_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
SECURITY = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        .encode(),
    ),
    (b"referrer-policy", b"no-referrer"),
)  # fmt: skip
SHOWN = 4000  # characters of one string: base64 and narratives are cut, the JSON and XML forms have them whole
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
# Where a link may lead below our base. A segment does not begin with a dot, so that none climbs out of the base.
_BELOW = re.compile(r"""(?:/[\w$-][\w$.-]*)*/?(?:\?[^\s"'<>\\]*)?""", re.ASCII).fullmatch
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9-][A-Za-z0-9.-]*(?:/_history/[A-Za-z0-9-][A-Za-z0-9.-]*)?").fullmatch


def page(body: bytes, base: str, query: str) -> bytes:
    """The HTML document of a resource's JSON bytes; `query` is that of the request, for links to the other forms."""
    resource = decode(body)
    title = escape(_title(resource))
    rest = [pair for pair in parse_qsl(query, keep_blank_values=True, errors="replace") if pair[0] != "_format"]
    forms = [(name, "?" + urlencode([*rest, ("_format", name.lower())])) for name in ("JSON", "XML")]
    links = "".join(
        f'<a href="{escape(address)}">{escape(name)}</a> ' for name, address in _pages(resource, base) + forms
    )
    text = msgspec.json.format(body, indent=2).decode()
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body>\n<h1>{title}</h1>\n<nav aria-label="Pages and formats">{links}</nav>\n'
        f"<main><pre>{_linked(text, base)}</pre></main>\n</body>\n</html>\n"
    ).encode()


def _title(resource: Any) -> str:
    type, id = str(resource.get("resourceType")), resource.get("id")
    if type == "Bundle" and isinstance(resource.get("type"), str):
        total = resource.get("total")
        return f"{resource['type']}, {total} in total" if isinstance(total, int) else resource["type"]
    return f"{type}/{id}" if isinstance(id, str) else type


def _pages(resource: Any, base: str) -> list[tuple[str, str]]:
    """The pages before and after that a Bundle names."""
    found = resource.get("link") if resource.get("resourceType") == "Bundle" else None
    if not isinstance(found, list):
        return []
    pairs = ((link.get("relation"), link.get("url")) for link in found if isinstance(link, dict))
    return [
        (str(name).capitalize(), str(url))
        for name, url in pairs
        if name in ("first", "previous", "next", "last") and _address("", str(url), base)
    ]


def _linked(text: str, base: str) -> str:
    """Pretty JSON as HTML: keys in bold, addresses on this server as links, long strings cut."""
    out: list[str] = []
    at, key = 0, ""
    for match in _STRING.finditer(text):
        token = match[0]
        out.append(escape(text[at : match.start()]))
        at = match.end()
        if text.startswith(":", at):
            key = token[1:-1]
            out.append(f"<b>{escape(token)}</b>")
            continue
        address = _address(key, token[1:-1], base)
        if address:
            out.append(f'<a href="{escape(address)}">{escape(token)}</a>')
        elif len(token) > SHOWN:
            out.append(f"{escape(token[:SHOWN])}… <i>({len(token) - 2:,} characters)</i>")
        else:
            out.append(escape(token))
    out.append(escape(text[at:]))
    return "".join(out)


def _address(key: str, text: str, base: str) -> str:
    """Where a value leads on this server; "" if nowhere. Only `reference` holds addresses without our base."""
    if text.startswith(base):
        return text if _BELOW(text[len(base) :]) else ""
    return f"{base}/{text}" if key == "reference" and _RELATIVE(text) else ""
