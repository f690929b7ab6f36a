rule represent_view:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: view_files(w.dataset, w.view),
    output:
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        metrics="<results>/metrics/representation/{dataset}/{view}/{representation}.parquet",
    log:
        "<logs>/represent/{dataset}/{view}/{representation}.log",
    benchmark:
        "<benchmarks>/represent/{dataset}/{view}/{representation}.tsv"
    wildcard_constraints:
        representation=one_of((REPRESENTATIONS | ATLAS.methods.maps).keys() - LINEAR),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec((REPRESENTATIONS | ATLAS.methods.maps)[w.representation]),
        columns=lambda w: getattr(ATLAS.views[w.view], "columns", []),
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("represent/represent_view.py"),
    message:
        "Representing {wildcards.dataset}/{wildcards.view} by {wildcards.representation}"
    script:
        "../workflow_scripts/represent/represent_view.py"


use rule represent_view as project_view with:
    output:
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        loadings="<results>/loadings/{dataset}/{view}/{representation}.parquet",
        metrics="<results>/metrics/representation/{dataset}/{view}/{representation}.parquet",
    wildcard_constraints:
        representation=one_of(LINEAR),
    message:
        "Projecting {wildcards.dataset}/{wildcards.view} with {wildcards.representation}"
