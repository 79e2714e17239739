"""Trial matching: eligibility criteria, a patient's facts, and the candidates that follow. See docs/matching.md."""
