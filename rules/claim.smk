rule measure_claims:
    input:
        lambda w: tables_of(w.study),
    output:
        "<results>/claims/{study}.parquet",
    log:
        "<logs>/claim/{study}.log",
    benchmark:
        "<benchmarks>/claim/{study}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        claims=lambda w: [spec(c) for c in ATLAS.studies[w.study].claims],
        structure=lambda w: study_structure(w.study),
        joined={n: spec(v) for n, v in ATLAS.views.items() if v.kind == "joined"},
        skipped=lambda w: ATLAS.skipped(w.study),
        left_out=LEFT_OUT,
        simulated_by_design=lambda w: ATLAS.simulated_by_design(ATLAS.dataset_of(w.study)),
        code=code_of("claim/measure_claims.py"),
    message:
        "Measuring the claims of study {wildcards.study}"
    script:
        "../workflow_scripts/claim/measure_claims.py"
