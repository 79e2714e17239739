"""VCF files read line by line, and what they say as FHIR. https://samtools.github.io/hts-specs/VCFv4.3.pdf"""
