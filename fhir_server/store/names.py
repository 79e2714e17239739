"""Does a text of State name a resource? What stores share when they expunge. https://hl7.org/fhir/R4/references.html#literal"""

import re
from collections.abc import Callable, Sequence

_NAME = re.compile(rb"(?<![A-Za-z])([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})")


def naming(resources: Sequence[tuple[str, str]]) -> Callable[[bytes], bool]:
    """A test whether a text holds `Type/id`, whole, of one of the resources."""
    wanted = {f"{type}/{id}".encode() for type, id in resources}
    return lambda text: b"/" in text and any(name in wanted for name in _NAME.findall(text))
