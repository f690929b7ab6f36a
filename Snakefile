"""matlas: from original sources to validated tables, latent spaces, clusters, claims and a report.

snakemake --cores all                                     every study, on real data
snakemake --cores all --configfile config/demo.yaml       the same on sample data
snakemake --cores all estm_families                       one study
"""

from snakemake.utils import min_version

min_version("9.0")


configfile: "config/config.yaml"


include: "rules/common.smk"


scattergather:
    crystals=ATLAS.settings.runtime.shards,


include: "rules/acquire.smk"
include: "rules/clean.smk"
include: "rules/featurize.smk"
include: "rules/represent.smk"
include: "rules/cluster.smk"
include: "rules/unmix.smk"
include: "rules/common_learning.smk"
include: "rules/probe.smk"
include: "rules/evaluate.smk"
include: "rules/figure.smk"
include: "rules/claim.smk"
include: "rules/report.smk"


wildcard_constraints:
    source=one_of(ATLAS.sources),
    dataset=one_of(ATLAS.datasets),
    view=one_of(ATLAS.views),
    representation=one_of(REPRESENTATIONS | ATLAS.methods.maps),
    clustering=one_of(ATLAS.methods.clusterings),
    endmember_count=one_of(ATLAS.methods.endmember_counts),
    unmixing=one_of(ATLAS.methods.unmixings),
    study=one_of(ATLAS.studies),
    split=one_of(ATLAS.methods.splits),


onerror:
    print_failures()


rule all:
    default_target: True
    input:
        "<results>/report/index.html",
        "<results>/matlas.duckdb",
        # named one by one, so that a deleted file is noticed although nothing needs it any more
        [t for study in ATLAS.studies for t in tables_of(study)],
        [f for study in ATLAS.studies for f in figures_of(study)],
        [m for study in ATLAS.studies for m in models_of(study)],
        [claims_of(study) for study in ATLAS.studies],
    message:
        "Every study, the catalog and the report are up to date"
