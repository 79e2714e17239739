"""Generators of what ships: run by hand, from their published sources."""
