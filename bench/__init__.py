"""Repeatable measurements, each printed beside the raw limit that was measured in the same run."""
