"""References: which resource of this server, or which URL elsewhere, a text names. https://hl7.org/fhir/R4/references.html"""

import re
from functools import lru_cache
from typing import NamedTuple

_LOCAL = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?", re.ASCII)

CACHED = 200  # longer texts are not kept, so that the cache stays small whatever comes


class Reference(NamedTuple):
    """A parsed reference: type and id (and perhaps a version) when it is local, otherwise only the url as written.

    Fragments (`#contained`) and `urn:` URIs are urls here; `version` is "" when none is named.
    """

    type: str
    id: str
    version: str
    url: str

    @property
    def local(self) -> bool:
        """Whether it names a resource of this server."""
        return self.type != ""


def parse(text: str, base: str) -> Reference:
    """Read a reference: local if it is `Type/id[/_history/version]`, alone or under our `base` URL; else a url."""
    return _parse(text, base) if len(text) <= CACHED else _parse.__wrapped__(text, base)


@lru_cache(maxsize=16_384)
def _parse(text: str, base: str) -> Reference:
    path = text[len(base) + 1 :] if base and text.startswith(base + "/") else text
    found = _LOCAL.fullmatch(path)
    if found is None:
        return Reference("", "", "", text)
    type_, id_, version = found.groups()
    return Reference(type_, id_, version or "", "")


def canonical(text: str) -> tuple[str, str]:
    """The url and version ("" if none) of a canonical `url|version`; a `#fragment` after them is dropped."""
    url, _, version = text.partition("|")
    return url, version.partition("#")[0]
