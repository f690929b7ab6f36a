rule represent_view:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: view_files(w.dataset, w.view),
        split=lambda w: split_files(w.dataset, split_of(w.representation)),
        mapped=lambda w: mapped_space(w.dataset, w.view, w.representation),
    output:
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        metrics="<results>/metrics/representation/{dataset}/{view}/{representation}.parquet",
    log:
        "<logs>/represent/{dataset}/{view}/{representation}.log",
    benchmark:
        "<benchmarks>/represent/{dataset}/{view}/{representation}.tsv"
    wildcard_constraints:
        representation=one_of((REPRESENTATIONS | ATLAS.methods.maps).keys() - LINEAR - NETWORKS),
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


# one thread: a network this small has nothing to divide (matlas/autoencoders/training.py)
rule train_autoencoder:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: view_files(w.dataset, w.view),
        split=lambda w: split_files(w.dataset, split_of(w.representation)),
    output:
        weights="<results>/models/{dataset}/{view}/{representation}/weights.safetensors",
        card="<results>/models/{dataset}/{view}/{representation}/model.json",
        scores="<results>/representations/{dataset}/{view}/{representation}.parquet",
        history="<results>/histories/{dataset}/{view}/{representation}.parquet",
        rebuilt="<results>/rebuilt/{dataset}/{view}/{representation}.parquet",
        metrics="<results>/metrics/representation/{dataset}/{view}/{representation}.parquet",
    log:
        "<logs>/represent/{dataset}/{view}/{representation}.log",
    benchmark:
        "<benchmarks>/represent/{dataset}/{view}/{representation}.tsv"
    wildcard_constraints:
        representation=one_of(NETWORKS),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPUS,
    params:
        spec=lambda w: spec(REPRESENTATIONS[w.representation]),
        columns=lambda w: getattr(ATLAS.views[w.view], "columns", []),
        definitions=lambda w: {s: spec(ATLAS.views[s]) for s in ATLAS.raw_views(w.view)},
        crystals=lambda w: how_crystals_are_read(w.dataset),
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("represent/train_autoencoder.py"),
    message:
        "Training {wildcards.representation} on {wildcards.dataset}/{wildcards.view}"
    script:
        "../workflow_scripts/represent/train_autoencoder.py"


# Probes must not read from a code that has seen what they are tested on: an encoder for every fold. These and the probes
# take longest of all, so they begin first.
rule encode_folds:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: raw_view_files(w.dataset, w.view),
        split="<results>/splits/{dataset}/{split}.parquet",
    output:
        "<results>/encodings/{dataset}/{view}/{representation}/{split}.parquet",
    log:
        "<logs>/represent/{dataset}/{view}/{representation}/{split}.log",
    benchmark:
        "<benchmarks>/represent/{dataset}/{view}/{representation}/{split}.tsv"
    wildcard_constraints:
        representation=one_of(NETWORKS),
    priority: AHEAD
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPUS,
    params:
        spec=lambda w: spec(REPRESENTATIONS[w.representation]),
        selected=lambda w: how_selected(w.view),
        resampled_by=lambda w: ATLAS.datasets[w.dataset].resampled_by,
        columns=lambda w: getattr(ATLAS.views[w.view], "columns", []),
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("represent/encode_folds.py"),
    message:
        "Training {wildcards.representation} on {wildcards.dataset}/{wildcards.view} for each fold of {wildcards.split}"
    script:
        "../workflow_scripts/represent/encode_folds.py"
