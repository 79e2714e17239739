"""Where the files that ship with the program are: beside the package in a checkout, inside it in an installed wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_path(*parts: str) -> Path:
    """The path of a shipped file, for example `data_path("profiles", "r4", "definitions.json.gz")`.

    A checkout wins over the copy in the wheel (`fhir_server/_data`); the path is returned whether or not it exists.
    """
    checkout = _PACKAGE.parent.joinpath(*parts)
    return checkout if checkout.exists() else _PACKAGE.joinpath("_data", *parts)
