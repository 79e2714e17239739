"""A trial, a patient and how they are matched: see walkthrough.py."""
