"""A FHIR R4 server that connects cancer patients, their tumour profiles and the trials that fit them."""

__version__ = "0.1.0"
