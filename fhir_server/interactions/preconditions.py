"""ETags and dates that a client sets as conditions. https://hl7.org/fhir/R4/http.html#concurrency"""

import re
from email.utils import parsedate_to_datetime

from fhir_server.fhir.outcome import refuse
from fhir_server.store.seam import Stored

_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


def etag(version: int) -> str:
    """The weak ETag of a version."""
    return f'W/"{version}"'


def require_match(if_match: str | None, current: Stored | None) -> None:
    """Raise FhirError 412 unless `If-Match` (None: not given) names the current version, 400 if it is no ETag."""
    if if_match is None:
        return
    versions = _versions(if_match, "If-Match")
    have = None if current is None or current.deleted else str(current.version)
    if have is None or ("*" not in versions and have not in versions):
        now = "there is no current version" if have is None else f"the current version is {have}"
        raise refuse(412, "conflict", f"If-Match asks for {if_match[:100]}, but {now}.")


def require_none(if_none_match: str | None, current: Stored | None) -> None:
    """Raise FhirError 412 if `If-None-Match` on a write names the current version, or is `*` and there is one."""
    if if_none_match is not None and _names(if_none_match, current):
        raise refuse(412, "conflict", "If-None-Match names the current version of the resource.")


def not_modified(stored: Stored, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Whether a conditional read may be answered 304; If-None-Match has precedence (RFC 9110 section 13.2.2)."""
    if if_none_match is not None:
        return _names(if_none_match, stored)
    if if_modified_since is None:
        return False
    try:
        since = parsedate_to_datetime(if_modified_since).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return False  # RFC 9110 section 13.1.3: a date that cannot be read is ignored
    return stored.updated // 1_000_000 <= since


def _names(text: str, current: Stored | None) -> bool:
    if current is None or current.deleted:
        return False
    versions = _versions(text, "If-None-Match")
    return "*" in versions or str(current.version) in versions


def _versions(text: str, header: str) -> list[str]:
    if text.strip() == "*":
        return ["*"]
    found = [_ETAG.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        raise refuse(400, "value", f'{header} must be an ETag such as W/"3", not {text[:100]!r}.')
    return [match[1] for match in found if match]
