"""Reference search: `id`, `Type/id`, a URL, or a canonical `url|version`. https://hl7.org/fhir/R4/search.html#reference"""

import re

from fhir_server.fhir.references import parse
from fhir_server.search.params.value import Alternatives, Ask, bad, split, unescape

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
MODIFIERS = frozenset({"identifier", "above", "below"})  # beside the names of types; `identifier`: see leaf.py

# A bare id may stand for any of the parameter's target types; beyond this many, the type is left open.
MANY_TARGETS = 16

EXPECTED = "an id, Type/id or an absolute URL"


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """`modifier` is a resource type or ""; a version in a reference to this server plays no part."""
    if modifier == "above":
        return _hierarchy(text, modifier, ask)
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


def below(text: str, modifier: str, ask: Ask) -> Alternatives:
    """The resources below one of this server, or a canonical and its versions: `url|1` is that version exactly here,
    and the versions that begin so (`1.2`) in `below_version`."""
    url, *version = split(text, "|", 1)
    if version or (not parse(unescape(url), ask.base).local and ":" in url):
        return tests(text, "", ask)
    return _hierarchy(text, modifier, ask)


def below_version(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Tests on the entries of versioned canonicals (extras.py)."""
    url, *version = [unescape(part) for part in split(text, "|", 1)]
    return ((("uri", "prefix", f"{url}|{version[0]}."),),) if version and version[0] else ()


def _hierarchy(text: str, modifier: str, ask: Ask) -> Alternatives:
    asked = unescape(text)
    found = parse(asked, ask.base)
    type, id = (found.type, found.id) if found.local else ("", asked)
    if not type and len(ask.param.target) == 1:
        (type,) = ask.param.target
    if not type or not _ID.fullmatch(id):
        raise bad(ask, text, "Type/id of a resource of this server")
    return ((("type,id", "in", ask.members(modifier, id, type).pairs),),)


def _by_id(id: str, type: str, ask: Ask) -> Alternatives:
    types = (type,) if type else tuple(sorted(ask.param.target))
    if not types or len(types) > MANY_TARGETS:
        return ((("id", "=", id),),)
    return tuple((("type", "=", target), ("id", "=", id)) for target in types)
