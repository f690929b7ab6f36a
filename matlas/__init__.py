"""matlas: an atlas of materials.

errors        one exception type, one readable sentence
files         atomic writes and file hashes
lineage       what a result was made from: code, inputs, configuration
jobs          the runner that every workflow script goes through
tables        the one writer and the one reader of Parquet tables
acquire       original sources: mirror, download, verification
unpack        archives, with path and size checks
composition   formulas to element amounts; reduced formula, chemical family
clean         raw tables to validated datasets and rejects
features/     feature views: element tables, composition kernels
represent     projections of views (PCA)
cluster/      sweeps over the number of clusters, silhouettes, stability
figures/      the figures that a study may ask for
claims        published statements, measured
store         the catalog: registry, retrieval, read-only SQL
report/       the HTML report
simulate/     sample data with a planted truth
cli           the `matlas` command
"""
