"""What an import is asked for: the manifest of SMART's bulk import, or the same as Parameters, read.

https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fhir_server.export.import_job import Source
from fhir_server.export.import_source import allowed
from fhir_server.export.wish import FORMATS
from fhir_server.fhir.outcome import refuse
from fhir_server.server import Server

MOST = 10_000  # files
MEMBERS = ("inputFormat", "inputSource", "input", "storageDetail", "extension")
STORAGE = ("https", "http", "file")
UPSERT = ("id", "identifier")


class Manifest(NamedTuple):
    """The files, where their data come from, and whether stored resources are found by their identifiers too."""

    sources: tuple[Source, ...]
    origin: str
    by_identifier: bool


def read_manifest(server: Server, body: Any, lenient: bool) -> Manifest:
    """The manifest. Raises FhirError 400 for what is not understood, 403 for a source that is not on the allow-list."""
    if not isinstance(body, Mapping):
        raise refuse(400, "required", "Send a manifest: a JSON object with inputFormat, inputSource and input.")
    given = _of_parameters(body) if "resourceType" in body else body
    for name in given:
        if name not in MEMBERS and not lenient:
            known = ", ".join(MEMBERS)
            raise refuse(400, "not-supported", f"A manifest has no {str(name)[:60]!r}: it has {known}.", str(name)[:60])
    if _text(given, "inputFormat") not in FORMATS:
        raise refuse(400, "not-supported", f"inputFormat must be {FORMATS[0]}.", "inputFormat")
    origin = _text(given, "inputSource")
    if ":" not in origin or not origin.isprintable() or " " in origin or len(origin) > 2000:
        raise refuse(400, "value", "inputSource must be a URI.", "inputSource")
    storage = given.get("storageDetail", {})
    if not isinstance(storage, Mapping) or storage.get("type", "https") not in STORAGE:
        raise refuse(400, "not-supported", f"storageDetail.type must be {' or '.join(STORAGE)}.", "storageDetail.type")
    more = given.get("extension", {})
    upsert = more.get("upsert", "id") if isinstance(more, Mapping) else ""
    if upsert not in UPSERT:
        raise refuse(400, "value", f"extension.upsert must be {' or '.join(UPSERT)}.", "extension.upsert")
    return Manifest(_sources(server, given.get("input")), origin, upsert == "identifier")


def _sources(server: Server, listed: Any) -> tuple[Source, ...]:
    if not isinstance(listed, list) or not listed:
        raise refuse(400, "required", "input must list the files to import.", "input")
    if len(listed) > MOST:
        raise refuse(400, "too-costly", f"An import takes at most {MOST} files.", "input")
    found: dict[Source, None] = {}
    for number, one in enumerate(listed):
        at = f"input[{number}]"
        if not isinstance(one, Mapping):
            raise refuse(400, "structure", "Each input has a type and a url.", at)
        type, url = _text(one, "type", at), _text(one, "url", at)
        if type not in server.definitions.resources:
            raise refuse(400, "value", f"R4 has no resource type {type[:60]!r}.", f"{at}.type")
        allowed(server.settings, url, f"{at}.url")
        found[Source(type, url)] = None
    return tuple(found)


def _text(given: Mapping[str, Any], name: str, at: str = "") -> str:
    value = given.get(name)
    place = f"{at}.{name}" if at else name
    if not isinstance(value, str) or not value:
        raise refuse(400, "required", f"{place} must be given, as a text.", place)
    return value


def _of_parameters(body: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest that is written as Parameters: `input` has the parts type and url, `storageDetail` type."""
    if body.get("resourceType") != "Parameters":
        raise refuse(400, "invalid", "Send a manifest as a JSON object, or as Parameters.", "Parameters")
    found: dict[str, Any] = {}
    if not _well_formed(body.get("parameter", [])):
        raise refuse(400, "structure", "parameter, and part in it, are arrays of objects.", "Parameters.parameter")
    for one in body.get("parameter", ()):
        name, parts = one.get("name", ""), {part.get("name", ""): _value(part) for part in one.get("part", ())}
        if name == "input":
            found.setdefault(name, []).append(parts)
        elif name == "upsert":
            found["extension"] = {"upsert": _value(one)}
        else:
            found[name] = parts or _value(one)
    return found


def _well_formed(listed: Any) -> bool:
    return isinstance(listed, list) and all(
        isinstance(one, dict) and isinstance(one.get("name", ""), str) and _well_formed(one.get("part", []))
        for one in listed
    )


def _value(parameter: Mapping[str, Any]) -> Any:
    return next((value for name, value in parameter.items() if name.startswith("value")), None)
