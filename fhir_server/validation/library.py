"""What a check of profiles needs to know of others: profiles and codes, looked up between its rounds. https://hl7.org/fhir/R4/profiling.html

Checking is pure. What is not known yet counts as unknown and is noted as missing; the caller looks that up and checks
again, until nothing is missing.
"""

from dataclasses import dataclass, field

from fhir_server.validation.profile import Profile

CORE = "http://hl7.org/fhir/StructureDefinition/"
Question = tuple[str, str, str]  # value set, system, code
Answer = bool | None  # None: it cannot be told here


@dataclass
class Library:
    """Profiles by URL (None: there is none) and answers to questions about codes; and what was missing."""

    profiles: dict[str, Profile | None] = field(default_factory=dict)
    answers: dict[Question, Answer] = field(default_factory=dict)
    missing_profiles: set[str] = field(default_factory=set)
    missing_answers: set[Question] = field(default_factory=set)

    def profile(self, url: str) -> Profile | None:
        """A profile; None if there is none or it is not known yet."""
        if url in self.profiles:
            return self.profiles[url]
        self.missing_profiles.add(url)
        return None

    def member(self, value_set: str, system: str, code: str) -> Answer:
        """Whether a value set holds a code; None if that cannot be told, or is not known yet."""
        question = (value_set, system, code)
        if question in self.answers:
            return self.answers[question]
        self.missing_answers.add(question)
        return None
