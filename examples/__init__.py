"""Runnable examples: a synthetic oncology cohort, trials with structured eligibility, curl scripts. See README.md."""
