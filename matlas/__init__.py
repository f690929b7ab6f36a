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
threads       work in threads, its results in order, and the time left
delimited     CSV and TSV files as they stand
clean/        raw tables and folders of images to validated datasets and rejects
images/       reading images, duplicates, pixels as features, altered copies
networks/     frozen networks: ResNet18, its weights, embedding
device        the CPU or a GPU, as configured
features/     feature views: element tables, composition kernels, pixels, networks
represent     views as they are, or projected (PCA)
maps          t-SNE and UMAP, to look at
cluster/      sweeps over the number of clusters, silhouettes, stability
evaluate/     clusterings and views judged by what they never saw
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
