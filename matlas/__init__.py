"""matlas: an atlas of materials.

errors        one exception type, one readable sentence
files         atomic writes and file hashes
lineage       what a result was made from: code, inputs, configuration
jobs          the runner that every workflow script goes through
tables        the one writer and the one reader of Parquet tables
acquire       original sources: mirror, download, verification
unpack        archives, with path and size checks
composition   formulas to element amounts; reduced formula, chemical family
expressions   columns that configuration computes by SQL
delimited     CSV and TSV files as they stand
clean         raw tables to validated datasets and rejects
features/     feature views: element tables, composition kernels
represent     projections of views (PCA)
cluster/      sweeps over the number of clusters, silhouettes, stability
figures/      the figures that a study may ask for
metrics       measured numbers as rows of one long table
claims        published statements, measured
catalog       DuckDB views, registry and lineage over all tables
retrieval     views joined on the entity key, no row lost or doubled
sandbox       one SELECT, in a database that reads the results folder and nothing else
store         what a notebook opens: features, SQL, lineage, claims
doctor        is everything in order?
printing      tables for people and for programs
report/       the HTML report
simulate/     sample data with a planted truth
cli           the `matlas` command
"""
