rule cluster_representation:
    input:
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        dataset="<results>/datasets/{dataset}.parquet",
    output:
        labels="<results>/clusters/{dataset}/{view}/{representation}/{clustering}.parquet",
        reruns="<results>/reruns/{dataset}/{view}/{representation}/{clustering}.parquet",
        metrics="<results>/metrics/clustering/{dataset}/{view}/{representation}/{clustering}.parquet",
    log:
        "<logs>/cluster/{dataset}/{view}/{representation}/{clustering}.log",
    benchmark:
        "<benchmarks>/cluster/{dataset}/{view}/{representation}/{clustering}.tsv"
    wildcard_constraints:
        representation=one_of(REPRESENTATIONS),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(ATLAS.methods.clusterings[w.clustering]),
        resampled_by=lambda w: ATLAS.datasets[w.dataset].resampled_by,
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("cluster/cluster_representation.py"),
    message:
        "Clustering {wildcards.dataset}/{wildcards.view}/{wildcards.representation} with {wildcards.clustering}"
    script:
        "../workflow_scripts/cluster/cluster_representation.py"


rule compare_clusterings:
    input:
        lambda w: tables_in(w.study, "clusters"),
    output:
        "<results>/agreement/{study}.parquet",
    log:
        "<logs>/cluster/agreement/{study}.log",
    benchmark:
        "<benchmarks>/cluster/agreement/{study}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("cluster/compare_clusterings.py"),
    message:
        "Comparing all clusterings of study {wildcards.study}"
    script:
        "../workflow_scripts/cluster/compare_clusterings.py"
