"""One module per parameter type: from the text of a search value to tests on index entries."""

from collections.abc import Callable, Mapping

from fhir_server.search.params import composite, date, number, quantity, reference, string, token, uri
from fhir_server.search.params.value import Alternatives, Ask

TESTS: Mapping[str, Callable[[str, str, Ask], Alternatives]] = {
    "string": string.tests,
    "token": token.tests,
    "reference": reference.tests,
    "date": date.tests,
    "number": number.tests,
    "quantity": quantity.tests,
    "uri": uri.tests,
    "composite": composite.tests,
}

# The modifiers of each kind beside `missing`, which all have; a reference takes the name of a type as its modifier.
MODIFIERS: Mapping[str, frozenset[str]] = {
    "string": string.MODIFIERS,
    "token": token.MODIFIERS,
    "id": frozenset({"not"}),
    "reference": reference.MODIFIERS,
    "date": date.MODIFIERS,
    "number": number.MODIFIERS,
    "quantity": quantity.MODIFIERS,
    "uri": uri.MODIFIERS,
    "composite": composite.MODIFIERS,
}
