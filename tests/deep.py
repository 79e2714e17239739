"""How far the tests search: `make test` takes a seeded sample, `make test-deep` all of it (docs/testing.md)."""

import os

DEEP = bool(os.environ.get("FHIR_SERVER_DEEP_TESTS"))


def deep(sample: int, all: int) -> int:
    """How many: `sample` in `make test`, `all` in `make test-deep`."""
    return all if DEEP else sample
