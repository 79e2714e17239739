"""Reference search: `id`, `Type/id`, a URL, or a canonical `url|version`. https://hl7.org/fhir/R4/search.html#reference"""

import re

from fhir_server.fhir.references import parse
from fhir_server.search.params.value import Alternatives, Ask, bad, split, unescape

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
# A bare id may stand for any of the parameter's target types; beyond this many, the type is left open.
MANY_TARGETS = 16

EXPECTED = "an id, Type/id or an absolute URL"


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """`modifier` is a resource type or ""; a version in a reference to this server plays no part."""
    url, *version = [unescape(part) for part in split(text, "|", 1)]
    if not version and _ID.fullmatch(url):
        return _by_id(url, modifier, ask)
    found = parse(url, ask.base)
    if modifier and found.type != modifier:
        raise bad(ask, text, f"the id of a {modifier} or {modifier}/id")
    if found.local:
        local = (("type", "=", found.type), ("id", "=", found.id))
        return ((*local, ("version", "=", version[0])),) if version and version[0] else (local,)
    if ":" not in url:
        raise bad(ask, text, EXPECTED)
    return ((("url", "=", url), ("version", "=", version[0])),) if version and version[0] else ((("url", "=", url),),)


def _by_id(id: str, type: str, ask: Ask) -> Alternatives:
    types = (type,) if type else tuple(sorted(ask.param.target))
    if not types or len(types) > MANY_TARGETS:
        return ((("id", "=", id),),)
    return tuple((("type", "=", target), ("id", "=", id)) for target in types)
