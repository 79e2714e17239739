"""URI search: equal, or by the segments of a URL's path. https://hl7.org/fhir/R4/search.html#uri"""

from fhir_server.search.params.value import Alternatives, Ask, bad, unescape

MODIFIERS = frozenset({"above", "below"})


def tests(text: str, modifier: str, ask: Ask) -> Alternatives:
    """Equal, character by character; `below` also what continues the path, `above` also what it continues."""
    uri = unescape(text)
    if not modifier:
        return ((("uri", "=", uri),),)
    scheme, separator, path = uri.partition("://")
    if not separator or not path:
        raise bad(ask, text, "a URL such as http://acme.org/fhir (a URN has nothing above or below it)")
    if modifier == "below":
        url, bar, version = uri.partition("|")
        if bar:
            return ((("uri", "=", uri),), (("uri", "prefix", f"{url}|{version}."),))
        return ((("uri", "=", uri.rstrip("/")),), (("uri", "prefix", uri.rstrip("/") + "/"),))
    segments = path.split("/")
    found = [f"{scheme}://" + "/".join(segments[:count]) for count in range(1, len(segments) + 1)]
    return tuple((("uri", "=", one),) for one in dict.fromkeys((*found, *(f"{one}/" for one in found[:-1]))))
