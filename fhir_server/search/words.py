"""The texts of a resource as one entry: what `:text`, `_text` and `_content` search. https://hl7.org/fhir/R4/search.html#text

One entry for all of them, because every entry is paid for at each write. Its text holds a line `code=lung cancer` for
each text or display of each token parameter, then all words of the resource, those of the narrative marked. Words after
the first MOST characters are not searched, and no text that is meant for machines: ids, URLs, references, data.
"""

import html
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from fhir_server.search.entries import CACHED, LONGEST, fold
from fhir_server.search.predicate import Entry, Is, Param, Predicate

TEXTS = Param(":text", "string")
MOST = 10_000
# No folded text holds these: folding takes them for white space.
LINE, WORD, NARRATIVE = "\n", "\x1f", "\x1e"

_WORD = re.compile(r"\w+")
_TAG = re.compile(r"<[^>]*>")
_MACHINES = frozenset(
    {"resourceType", "id", "reference", "system", "data", "contentType", "versionId", "lastUpdated", "hash", "div"}
)  # fmt: skip


def line(code: str, text: str) -> str:
    """The line of one text of a token parameter."""
    return _line(code, text) if len(text) <= CACHED else _line.__wrapped__(code, text)


@lru_cache(maxsize=16_384)
def _line(code: str, text: str) -> str:
    return f"{LINE}{code}={fold(text[:LONGEST])}"


def entry(resource: dict[str, Any], lines: Iterable[str]) -> Entry | None:
    """The entry of a resource; `lines` are those of its token parameters."""
    narrative = ""
    text = resource.get("text")
    if isinstance(text, dict) and "div" in text:
        narrative = words(html.unescape(_TAG.sub(" ", text["div"])))
    found = "".join([_words(one) if len(one) <= CACHED else words(one) for one in dict.fromkeys(_texts(resource))])
    whole = "".join(dict.fromkeys(lines)) + narrative.replace(WORD, NARRATIVE + WORD) + found
    if len(whole) > MOST:  # words that several texts have stand there once for each: only then it matters
        told = dict.fromkeys(narrative.split(WORD)[1:])
        others = [word for word in dict.fromkeys(found.split(WORD)[1:]) if word not in told]
        whole = "".join(dict.fromkeys(lines)) + _marked(told, NARRATIVE + WORD) + _marked(others)
    return (TEXTS, whole[:MOST], "") if whole else None


def _texts(resource: dict[str, Any]) -> list[str]:
    """All texts that are meant for people. A list that grows, not recursion, as it is paid at every write."""
    found: list[str] = []
    nodes = [resource]
    for node in nodes:
        for key, inner in node.items():
            kind = type(inner)
            if kind is str:
                if key not in _MACHINES:
                    found.append(inner)
            elif kind is dict:
                nodes.append(inner)
            elif kind is list:
                for item in inner:
                    if type(item) is dict:
                        nodes.append(item)
                    elif type(item) is str and key not in _MACHINES:
                        found.append(item)
    return found


def words(text: str) -> str:
    """The distinct folded words of a text, each after its mark; none of a URL."""
    return _words(text) if len(text) <= CACHED else _words.__wrapped__(text)


@lru_cache(maxsize=16_384)
def _words(text: str) -> str:
    if text.startswith(("http://", "https://", "urn:")):
        return ""
    # What else folding does changes no word.
    return _marked(dict.fromkeys(_WORD.findall(text.lower() if text.isascii() else fold(text))))


def _marked(found: Iterable[str], mark: str = WORD) -> str:
    return "".join([mark + word for word in found])


def has_text(code: str, text: str) -> Predicate:
    """Some text of the parameter starts so."""
    return Is(TEXTS, (("norm", "contains", line(code, text)),))


def has_words(text: str, narrative: bool) -> Iterator[Predicate]:
    """For each word asked: some word of the resource, or of its narrative, starts so."""
    mark = NARRATIVE + WORD if narrative else WORD
    for word in words(text).split(WORD)[1:]:
        yield Is(TEXTS, (("norm", "contains", mark + word),))
