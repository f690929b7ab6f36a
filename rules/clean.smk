# `update` keeps the last good table where cleaning fails; it is replaced whole, never changed
rule clean_compositions:
    input:
        lambda w: raw_file(w.dataset),
    output:
        clean=update("<results>/datasets/{dataset}.parquet"),
        rejects=update("<results>/rejects/{dataset}.parquet"),
    log:
        "<logs>/clean/{dataset}.log",
    benchmark:
        "<benchmarks>/clean/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, d in ATLAS.datasets.items() if d.kind == "composition"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        simulated=lambda w: is_simulated(w.dataset),
        code=code_of("clean/clean_compositions.py"),
    message:
        "Cleaning dataset {wildcards.dataset}"
    script:
        "../workflow_scripts/clean/clean_compositions.py"


rule clean_images:
    input:
        folder=lambda w: image_folder(w.dataset),
        labels=lambda w: label_table(w.dataset),
    output:
        clean=update("<results>/datasets/{dataset}.parquet"),
        rejects=update("<results>/rejects/{dataset}.parquet"),
    log:
        "<logs>/clean/{dataset}.log",
    benchmark:
        "<benchmarks>/clean/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, d in ATLAS.datasets.items() if d.kind == "image"),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        simulated=lambda w: is_simulated(w.dataset),
        files=lambda w: fingerprint_of(w.dataset),
        code=code_of("clean/clean_images.py"),
    message:
        "Cleaning dataset {wildcards.dataset}"
    script:
        "../workflow_scripts/clean/clean_images.py"
