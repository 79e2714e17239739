"""Keys of State in order, and whether one names a resource: what stores share. https://hl7.org/fhir/R4/references.html#literal"""

import re
from collections.abc import Callable, Sequence

LAST = "\U0010ffff"  # comes after every text that begins like what it is appended to
KEPT = "audit/"  # State that outlives the resources it names: who looked at what was expunged stays accountable
_NAME = re.compile(rb"(?<![A-Za-z])([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})")


def naming(resources: Sequence[tuple[str, str]]) -> Callable[[bytes], bool]:
    """A test whether a text holds `Type/id`, whole, of one of the resources."""
    wanted = {f"{type}/{id}".encode() for type, id in resources}
    return lambda text: b"/" in text and any(name in wanted for name in _NAME.findall(text))
