rule score_clusterings:
    input:
        dataset=lambda w: tables_in(w.study, "datasets"),
        reruns=lambda w: tables_in(w.study, "reruns"),
    output:
        scores="<results>/scores/{study}.parquet",
        contingency="<results>/contingency/{study}.parquet",
    log:
        "<logs>/evaluate/scores/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/scores/{study}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        evaluation=lambda w: spec(ATLAS.studies[w.study].evaluation),
        code=code_of("evaluate/score_clusterings.py"),
    message:
        "Scoring the clusterings of study {wildcards.study} against the classes"
    script:
        "../workflow_scripts/evaluate/score_clusterings.py"


rule measure_conditions:
    input:
        dataset=lambda w: tables_in(w.study, "datasets"),
        reruns=lambda w: tables_in(w.study, "reruns"),
    output:
        "<results>/conditions/{study}.parquet",
    log:
        "<logs>/evaluate/conditions/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/conditions/{study}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        evaluation=lambda w: spec(ATLAS.studies[w.study].evaluation),
        code=code_of("evaluate/measure_conditions.py"),
    message:
        "Measuring what the clusters of study {wildcards.study} split on"
    script:
        "../workflow_scripts/evaluate/measure_conditions.py"


rule measure_sensitivity:
    input:
        dataset=lambda w: tables_in(w.study, "datasets"),
        features=lambda w: tables_in(w.study, "features"),
        altered=lambda w: tables_in(w.study, "altered"),
    output:
        "<results>/sensitivity/{study}.parquet",
    log:
        "<logs>/evaluate/sensitivity/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/sensitivity/{study}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=20,
    params:
        evaluation=lambda w: spec(ATLAS.studies[w.study].evaluation),
        seed=ATLAS.settings.runtime.seed,
        code=code_of("evaluate/measure_sensitivity.py"),
    message:
        "Measuring how far altered images travel in the views of study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/measure_sensitivity.py"


rule inspect_outliers:
    input:
        features=lambda w: inspected_tables(w.study, "features"),
        altered=lambda w: inspected_tables(w.study, "altered"),
    output:
        "<results>/inspections/{study}.parquet",
    log:
        "<logs>/evaluate/inspections/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/inspections/{study}.tsv"
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        inspections=lambda w: [
            (v, i, spec(ATLAS.methods.inspections[i])) for v, i in ATLAS.inspected_in(w.study)
        ],
        code=code_of("evaluate/inspect_outliers.py"),
    message:
        "Looking for planted outliers in study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/inspect_outliers.py"
