rule tabulate_elements:
    output:
        "<results>/elements/{table}.parquet",
    log:
        "<logs>/featurize/elements/{table}.log",
    benchmark:
        "<benchmarks>/featurize/elements/{table}.tsv"
    wildcard_constraints:
        table=one_of({v.table for v in ATLAS.views.values() if hasattr(v, "table")}),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code_of("featurize/tabulate_elements.py"),
    message:
        "Tabulating the element properties {wildcards.table}"
    script:
        "../workflow_scripts/featurize/tabulate_elements.py"


rule featurize_compositions:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        elements=lambda w: element_tables(w.view),
    output:
        "<results>/features/{dataset}/{view}.parquet",
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(name for name, v in ATLAS.views.items() if v.kind == "composition"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        code=code_of("featurize/featurize_compositions.py"),
    message:
        "Computing view {wildcards.view} of {wildcards.dataset}"
    script:
        "../workflow_scripts/featurize/featurize_compositions.py"


rule featurize_crystal_shard:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        sites="<results>/sites/{dataset}.parquet",
        elements=lambda w: element_tables(w.view),
    output:
        features=temp("<results>/features/{dataset}/{view}/{scatteritem}.parquet"),
        failures=temp("<results>/failures/{dataset}/{view}/{scatteritem}.parquet"),
    log:
        "<logs>/featurize/{dataset}/{view}/{scatteritem}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}/{scatteritem}.tsv"
    wildcard_constraints:
        view=one_of(filter(is_of_crystals, ATLAS.views)),
    priority: AHEAD
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        code=code_of("featurize/featurize_crystal_shard.py"),
    message:
        "Computing view {wildcards.view} of {wildcards.dataset}, share {wildcards.scatteritem}"
    script:
        "../workflow_scripts/featurize/featurize_crystal_shard.py"


rule featurize_crystals:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        features=gather.crystals("<results>/features/{{dataset}}/{{view}}/{scatteritem}.parquet"),
        failures=gather.crystals("<results>/failures/{{dataset}}/{{view}}/{scatteritem}.parquet"),
    output:
        features="<results>/features/{dataset}/{view}.parquet",
        failures="<results>/failures/{dataset}/{view}.parquet",
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(filter(is_of_crystals, ATLAS.views)),
    priority: AHEAD
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        code=code_of("featurize/featurize_crystals.py"),
    message:
        "Putting view {wildcards.view} of {wildcards.dataset} together"
    script:
        "../workflow_scripts/featurize/featurize_crystals.py"


rule featurize_spectra:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        cube=lambda w: raw_file(w.dataset),
    output:
        features="<results>/features/{dataset}/{view}.parquet",
        references="<results>/references/{dataset}/{view}.parquet",
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(name for name, v in ATLAS.views.items() if v.kind == "cube"),
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        cube=lambda w: spec(ATLAS.datasets[w.dataset]),
        code=code_of("featurize/featurize_spectra.py"),
    message:
        "Computing view {wildcards.view} of {wildcards.dataset}"
    script:
        "../workflow_scripts/featurize/featurize_spectra.py"


rule select_features:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        views=lambda w: raw_view_files(w.dataset, w.view),
        split=lambda w: split_files(w.dataset, ATLAS.views[w.view].split),
    output:
        features="<results>/features/{dataset}/{view}.parquet",
        selection="<results>/selections/{dataset}/{view}.parquet",
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(SELECTED),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        code=code_of("featurize/select_features.py"),
    message:
        "Selecting the features of view {wildcards.view} of {wildcards.dataset}"
    script:
        "../workflow_scripts/featurize/select_features.py"


rule featurize_pixels:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        images=lambda w: image_folder(w.dataset),
    output:
        features="<results>/features/{dataset}/{view}.parquet",
        altered="<results>/altered/{dataset}/{view}.parquet",
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(n for n, v in ATLAS.views.items() if getattr(v, "features", "") == "pixels"),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        white_level=lambda w: ATLAS.datasets[w.dataset].white_level,
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("featurize/featurize_pixels.py"),
    message:
        "Computing view {wildcards.view} of {wildcards.dataset}"
    script:
        "../workflow_scripts/featurize/featurize_pixels.py"


# One pass through the network gives the pooled output of each stage, the last of which is the view itself.
rule embed_images:
    input:
        dataset="<results>/datasets/{dataset}.parquet",
        images=lambda w: image_folder(w.dataset),
        weights=lambda w: weights_file(w.view),
    output:
        features=[f"<results>/features/{{dataset}}/{{view}}{stage}.parquet" for stage in STAGES],
        altered=[f"<results>/altered/{{dataset}}/{{view}}{stage}.parquet" for stage in STAGES],
    log:
        "<logs>/featurize/{dataset}/{view}.log",
    benchmark:
        "<benchmarks>/featurize/{dataset}/{view}.tsv"
    wildcard_constraints:
        view=one_of(n for n, v in ATLAS.views.items() if getattr(v, "features", "") == "network"),
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPUS,
    params:
        spec=lambda w: spec(ATLAS.views[w.view]),
        white_level=lambda w: ATLAS.datasets[w.dataset].white_level,
        source=lambda w: about_source(ATLAS.views[w.view].weights),
        simulated=lambda w: ATLAS.views[w.view].weights in ATLAS.settings.sample_sources,
        runtime=spec(ATLAS.settings.runtime),
        code=code_of("featurize/embed_images.py"),
    message:
        "Embedding the images of {wildcards.dataset} with {wildcards.view}"
    script:
        "../workflow_scripts/featurize/embed_images.py"
