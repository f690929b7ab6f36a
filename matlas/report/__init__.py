"""The HTML report: one self-contained page that opens with no network.

build         the page from the catalog and the figures
claims        claims with their verdicts
restrictions  what must be said of the weights behind a view
studies       what each study found, section by section
spaces        spaces, maps, and how many clusters there are
evaluation    clusters against classes and conditions; altered images; planted outliers
learning      splits, networks, what can be read out of which input, and in which families that helps
representation_tests  what representations were put through
topics        what stands under one heading: sentences, tables, cells with intervals and verdicts
tables        the tables that studies write as CSV
provenance    data quality, data dictionary, cost, lineage, sources
formats       numbers, shares, durations and citations as text
svg           figures inside the page
"""
