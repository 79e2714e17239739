"""The client that these tests speak through."""

from tests.client import client

__all__ = ["client"]
