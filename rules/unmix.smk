rule count_endmembers:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        features="<results>/features/{dataset}/{view}.parquet",
    output:
        "<results>/endmember_counts/{dataset}/{view}/{endmember_count}.parquet",
    log:
        "<logs>/unmix/{dataset}/{view}/{endmember_count}.log",
    benchmark:
        "<benchmarks>/unmix/{dataset}/{view}/{endmember_count}.tsv"
    priority: AHEAD
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        spec=lambda w: spec(ATLAS.methods.endmember_counts[w.endmember_count]),
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("unmix/count_endmembers.py"),
    message:
        "Counting the endmembers of {wildcards.dataset}/{wildcards.view}"
    script:
        "../workflow_scripts/unmix/count_endmembers.py"


rule unmix_spectra:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        features="<results>/features/{dataset}/{view}.parquet",
        references="<results>/references/{dataset}/{view}.parquet",
        counted=lambda w: counted_for(w.dataset, w.view, w.unmixing),
    output:
        abundances="<results>/abundances/{dataset}/{view}/{unmixing}.parquet",
        endmembers="<results>/endmembers/{dataset}/{view}/{unmixing}.parquet",
        scores="<results>/unmixings/{dataset}/{view}/{unmixing}.parquet",
    log:
        "<logs>/unmix/{dataset}/{view}/{unmixing}.log",
    benchmark:
        "<benchmarks>/unmix/{dataset}/{view}/{unmixing}.tsv"
    wildcard_constraints:
        unmixing=one_of(ATLAS.methods.unmixings.keys() - UNMIXING_NETWORKS),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        spec=lambda w: spec(ATLAS.methods.unmixings[w.unmixing]),
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("unmix/unmix_spectra.py"),
    message:
        "Unmixing {wildcards.dataset}/{wildcards.view} by {wildcards.unmixing}"
    script:
        "../workflow_scripts/unmix/unmix_spectra.py"


use rule unmix_spectra as train_unmixing with:
    output:
        weights="<results>/models/{dataset}/{view}/{unmixing}/weights.safetensors",
        abundances="<results>/abundances/{dataset}/{view}/{unmixing}.parquet",
        endmembers="<results>/endmembers/{dataset}/{view}/{unmixing}.parquet",
        scores="<results>/unmixings/{dataset}/{view}/{unmixing}.parquet",
    wildcard_constraints:
        unmixing=one_of(UNMIXING_NETWORKS),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPUS,
    message:
        "Training {wildcards.unmixing} to unmix {wildcards.dataset}/{wildcards.view}"


rule quantify_phases:
    input:
        cube=lambda w: raw_file(ATLAS.dataset_of(w.study)),
        abundances=lambda w: unmixed_for_quantities(w.study),
    output:
        "<results>/quantities/{study}.parquet",
    log:
        "<logs>/unmix/quantities/{study}.log",
    benchmark:
        "<benchmarks>/unmix/quantities/{study}.tsv"
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        cube=lambda w: spec(ATLAS.datasets[ATLAS.dataset_of(w.study)]),
        spec=lambda w: spec(ATLAS.studies[w.study].quantification),
        files=lambda w: fingerprint_of(ATLAS.dataset_of(w.study)),
        code=code_of("unmix/quantify_phases.py"),
    message:
        "Fitting the lines of the phases of study {wildcards.study}"
    script:
        "../workflow_scripts/unmix/quantify_phases.py"
