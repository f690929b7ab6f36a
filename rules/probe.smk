rule probe_properties:
    input:
        dataset=lambda w: dataset_table(w.study),
        split=lambda w: split_files(ATLAS.dataset_of(w.study), w.split),
        views=lambda w: raw_view_files(
            ATLAS.dataset_of(w.study), *views_read_by(inputs_of(w.study, w.split))
        ),
        encodings=lambda w: encodings_of(w.study, w.split, inputs_of(w.study, w.split)),
    output:
        predictions="<results>/predictions/{study}/{split}.parquet",
        scores="<results>/probes/{study}/{split}.parquet",
        comparisons="<results>/comparisons/{study}/{split}.parquet",
    log:
        "<logs>/probe/{study}/{split}.log",
    benchmark:
        "<benchmarks>/probe/{study}/{split}.tsv"
    priority: AHEAD
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        probing=lambda w: spec(ATLAS.studies[w.study].probing),
        trial=lambda w: spec(trial_of(w.study, w.split)),
        split=lambda w: spec(ATLAS.methods.splits[w.split]),
        inputs=lambda w: how_prepared(inputs_of(w.study, w.split)),
        heads=lambda w: heads_of(trial_of(w.study, w.split).heads),
        blas_threads=1,
        code=code_of("probe/probe_properties.py"),
    message:
        "Probing what study {wildcards.study} can read out under split {wildcards.split}"
    script:
        "../workflow_scripts/probe/probe_properties.py"
