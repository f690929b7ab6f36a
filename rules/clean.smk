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
        dataset=of_kind("composition"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        simulated=lambda w: is_simulated(w.dataset),
        files=lambda w: fingerprint_of(w.dataset),
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
        dataset=of_kind("image"),
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


rule clean_cube:
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
        dataset=of_kind("cube"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        simulated=lambda w: is_simulated(w.dataset),
        files=lambda w: fingerprint_of(w.dataset),
        code=code_of("clean/clean_cube.py"),
    message:
        "Cleaning dataset {wildcards.dataset}"
    script:
        "../workflow_scripts/clean/clean_cube.py"


# Structures are parsed and their symmetry is found in shards, each an equal share of the crystals.
rule parse_crystals:
    input:
        lambda w: raw_files(w.dataset),
    output:
        crystals=temp("<results>/parsed/{dataset}/{scatteritem}.crystals.parquet"),
        sites=temp("<results>/parsed/{dataset}/{scatteritem}.sites.parquet"),
        rejects=temp("<results>/parsed/{dataset}/{scatteritem}.rejects.parquet"),
    log:
        "<logs>/clean/{dataset}/{scatteritem}.log",
    benchmark:
        "<benchmarks>/clean/{dataset}/{scatteritem}.tsv"
    wildcard_constraints:
        dataset=of_kind("crystal"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        files=lambda w: fingerprint_of(w.dataset),
        code=code_of("clean/parse_crystals.py"),
    message:
        "Parsing crystals of {wildcards.dataset}, share {wildcards.scatteritem}"
    script:
        "../workflow_scripts/clean/parse_crystals.py"


rule clean_crystals:
    input:
        raw=lambda w: raw_files(w.dataset),
        origin=lambda w: query_origin(w.dataset),
        crystals=gather.crystals("<results>/parsed/{{dataset}}/{scatteritem}.crystals.parquet"),
        sites=gather.crystals("<results>/parsed/{{dataset}}/{scatteritem}.sites.parquet"),
        rejects=gather.crystals("<results>/parsed/{{dataset}}/{scatteritem}.rejects.parquet"),
    output:
        clean=update("<results>/datasets/{dataset}.parquet"),
        sites=update("<results>/sites/{dataset}.parquet"),
        rejects=update("<results>/rejects/{dataset}.parquet"),
    log:
        "<logs>/clean/{dataset}.log",
    benchmark:
        "<benchmarks>/clean/{dataset}.tsv"
    wildcard_constraints:
        dataset=of_kind("crystal"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        simulated=lambda w: is_simulated(w.dataset),
        code=code_of("clean/clean_crystals.py"),
    message:
        "Cleaning dataset {wildcards.dataset}"
    script:
        "../workflow_scripts/clean/clean_crystals.py"


rule split_entities:
    input:
        "<results>/datasets/{dataset}.parquet",
    output:
        "<results>/splits/{dataset}/{split}.parquet",
    log:
        "<logs>/clean/splits/{dataset}/{split}.log",
    benchmark:
        "<benchmarks>/clean/splits/{dataset}/{split}.tsv"
    priority: AHEAD
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda w: spec(ATLAS.methods.splits[w.split]),
        code=code_of("clean/split_entities.py"),
    message:
        "Splitting {wildcards.dataset} by {wildcards.split}"
    script:
        "../workflow_scripts/clean/split_entities.py"
