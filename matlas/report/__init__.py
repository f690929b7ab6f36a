"""The HTML report: one self-contained page that opens with no network.

build        the page from the catalog and the figures
studies      claims with their verdicts; what each study found
provenance   data quality, data dictionary, cost, lineage, sources
formats      numbers, shares, durations and citations as text
svg          figures inside the page
"""
