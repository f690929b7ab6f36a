rule project_view:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: view_files(w.dataset, w.view),
    output:
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        loadings="<results>/loadings/{dataset}/{view}/{representation}.parquet",
        metrics="<results>/metrics/representation/{dataset}/{view}/{representation}.parquet",
    log:
        "<logs>/represent/{dataset}/{view}/{representation}.log",
    benchmark:
        "<benchmarks>/represent/{dataset}/{view}/{representation}.tsv"
    threads: 2
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.methods.representations[w.representation]),
        columns=lambda w: getattr(ATLAS.views[w.view], "columns", []),
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("represent/project_view.py"),
    message:
        "Projecting {wildcards.dataset}/{wildcards.view} with {wildcards.representation}"
    script:
        "../workflow_scripts/represent/project_view.py"
