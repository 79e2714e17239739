"""Files of other terminologies as code systems: one module for each format, and the literal list of them."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fhir_server.terminology.formats import fhir, hgnc, icd10cm, loinc, ncit, oncotree, parents, rf2
from fhir_server.terminology.formats.content import Content

# What a format is called: a function of the path, the version ("" if not given) and the system's URL ("" likewise).
FORMATS: Mapping[str, Callable[[Path, str, str], Content]] = {
    "oncotree": oncotree.read,
    "ncit": ncit.read,
    "hgnc": hgnc.read,
    "loinc": loinc.read,
    "rf2": rf2.read,
    "icd-10-cm": icd10cm.read,
    "parents": parents.read,
    "fhir": fhir.read,
}
