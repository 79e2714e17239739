"""A CodeSystem resource as JSON, its hierarchy nested or in properties. https://hl7.org/fhir/R4/codesystem.html"""

from collections.abc import Iterator
from pathlib import Path

from fhir_server.fhir.codec import decode
from fhir_server.terminology.concepts import Concept, flat
from fhir_server.terminology.formats.content import Content, member


def read(path: Path, version: str, system: str) -> Content:
    """The code system of one file. Raises ValueError for another resource, or one without url or concepts."""
    file = member(path, r".*\.json")
    with file.open() as raw:
        resource = decode(raw.read())
    if not isinstance(resource, dict) or resource.get("resourceType") != "CodeSystem":
        raise ValueError(f"{path} is no CodeSystem resource.")
    if not resource.get("concept") or not (resource.get("url") or system):
        raise ValueError(f"{path} has no {'url: give --system' if resource.get('concept') else 'concepts'}.")
    left = ("concept", "id", "meta", "text")
    about = {key: value for key, value in resource.items() if key not in left}
    about |= {"url": system or resource["url"], "version": version or resource.get("version", "")}
    if not about["version"]:
        del about["version"]

    def concepts() -> Iterator[Concept]:
        return flat(resource["concept"])

    return Content(about, concepts, (file,))
