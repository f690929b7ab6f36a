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


rule sweep_bottleneck:
    input:
        dataset=lambda w: dataset_table(w.study),
        views=lambda w: view_files(ATLAS.dataset_of(w.study), test_of(w.study, "bottleneck").view),
        split=lambda w: split_of_encoder(w.study, "bottleneck"),
    output:
        "<results>/tests/{study}/bottleneck.parquet",
    log:
        "<logs>/evaluate/bottleneck/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/bottleneck/{study}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPUS,
    params:
        test=lambda w: spec(test_of(w.study, "bottleneck")),
        encoder=lambda w: spec(REPRESENTATIONS[test_of(w.study, "bottleneck").encoder]),
        targets=lambda w: targets_of(w.study, test_of(w.study, "bottleneck").targets),
        resampled_by=lambda w: ATLAS.datasets[ATLAS.dataset_of(w.study)].resampled_by,
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("evaluate/sweep_bottleneck.py"),
    message:
        "Measuring what survives a narrow code in study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/sweep_bottleneck.py"


rule sample_manifold:
    input:
        dataset=lambda w: dataset_table(w.study),
        views=lambda w: view_files(ATLAS.dataset_of(w.study), test_of(w.study, "manifold").view),
        split=lambda w: split_files(
            ATLAS.dataset_of(w.study), split_of(test_of(w.study, "manifold").encoders[0])
        ),
        models=lambda w: [
            f"<results>/models/{ATLAS.dataset_of(w.study)}/{test_of(w.study, 'manifold').view}/{e}/{file}"
            for e in test_of(w.study, "manifold").encoders
            for file in ("weights.safetensors", "model.json")
        ],
    output:
        "<results>/tests/{study}/manifold.parquet",
    log:
        "<logs>/evaluate/manifold/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/manifold/{study}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=GPUS,
    params:
        test=lambda w: spec(test_of(w.study, "manifold")),
        resampled_by=lambda w: ATLAS.datasets[ATLAS.dataset_of(w.study)].resampled_by,
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("evaluate/sample_manifold.py"),
    message:
        "Looking for holes in the manifolds of study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/sample_manifold.py"


rule measure_neighbourhoods:
    input:
        dataset=lambda w: dataset_table(w.study),
        spaces=lambda w: spaces_tested(w.study, "neighbourhood"),
        views=lambda w: sorted(
            {
                file
                for view, _ in ATLAS.parts_of(test_of(w.study, "neighbourhood").spaces)
                for file in view_files(ATLAS.dataset_of(w.study), view)
            }
        ),
    output:
        "<results>/tests/{study}/neighbourhood.parquet",
    log:
        "<logs>/evaluate/neighbourhood/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/neighbourhood/{study}.tsv"
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        test=lambda w: spec(test_of(w.study, "neighbourhood")),
        views=lambda w: {
            v: {"stored": ATLAS.stored_views(v), "columns": getattr(ATLAS.views[v], "columns", [])}
            for v, _ in ATLAS.parts_of(test_of(w.study, "neighbourhood").spaces)
        },
        resampled_by=lambda w: ATLAS.datasets[ATLAS.dataset_of(w.study)].resampled_by,
        seed=ATLAS.settings.runtime.seed,
        code=code_of("evaluate/measure_neighbourhoods.py"),
    message:
        "Measuring the neighbourhoods in the spaces of study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/measure_neighbourhoods.py"


rule measure_uncertainty:
    input:
        dataset=lambda w: dataset_table(w.study),
        split=lambda w: split_files(
            ATLAS.dataset_of(w.study), test_of(w.study, "uncertainty").split
        ),
        views=lambda w: raw_view_files(
            ATLAS.dataset_of(w.study),
            *views_read_by(inputs_uncertain(w.study)),
        ),
        encodings=lambda w: encodings_of(
            w.study, test_of(w.study, "uncertainty").split, inputs_uncertain(w.study)
        ),
    output:
        "<results>/tests/{study}/uncertainty.parquet",
    log:
        "<logs>/evaluate/uncertainty/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/uncertainty/{study}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
    params:
        test=lambda w: spec(test_of(w.study, "uncertainty")),
        target=lambda w: targets_of(w.study, [test_of(w.study, "uncertainty").target]),
        inputs=lambda w: how_prepared(inputs_uncertain(w.study)),
        head=lambda w: heads_of([test_of(w.study, "uncertainty").head]),
        resampled_by=lambda w: ATLAS.studies[w.study].probing.resampled_by,
        seed=ATLAS.settings.runtime.seed,
        blas_threads=1,
        code=code_of("evaluate/measure_uncertainty.py"),
    message:
        "Measuring how far the predictions of study {wildcards.study} can be trusted"
    script:
        "../workflow_scripts/evaluate/measure_uncertainty.py"


rule learn_actively:
    input:
        dataset=lambda w: dataset_table(w.study),
        split=lambda w: split_files(
            ATLAS.dataset_of(w.study), test_of(w.study, "active_learning").split
        ),
        spaces=lambda w: spaces_tested(w.study, "active_learning"),
    output:
        "<results>/tests/{study}/active_learning.parquet",
    log:
        "<logs>/evaluate/active_learning/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/active_learning/{study}.tsv"
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        test=lambda w: spec(test_of(w.study, "active_learning")),
        target=lambda w: targets_of(w.study, [test_of(w.study, "active_learning").target]),
        seed=ATLAS.settings.runtime.seed,
        code=code_of("evaluate/learn_actively.py"),
    message:
        "Choosing what to label next in study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/learn_actively.py"


rule audit_embedding:
    input:
        dataset=lambda w: dataset_table(w.study),
        views=lambda w: view_files(ATLAS.dataset_of(w.study), test_of(w.study, "audit").view),
        raw_views=lambda w: raw_view_files(
            ATLAS.dataset_of(w.study), test_of(w.study, "audit").view
        ),
        split=lambda w: split_of_encoder(w.study, "audit"),
    output:
        "<results>/tests/{study}/audit.parquet",
    log:
        "<logs>/evaluate/audit/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/audit/{study}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=GPUS,
    params:
        test=lambda w: spec(test_of(w.study, "audit")),
        encoder=lambda w: spec(REPRESENTATIONS[test_of(w.study, "audit").encoder]),
        selected=lambda w: how_selected(test_of(w.study, "audit").view),
        resampled_by=lambda w: ATLAS.datasets[ATLAS.dataset_of(w.study)].resampled_by,
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("evaluate/audit_embedding.py"),
    message:
        "Auditing the embedding of study {wildcards.study} for shortcuts and blind spots"
    script:
        "../workflow_scripts/evaluate/audit_embedding.py"


rule transfer_encoder:
    input:
        dataset=lambda w: dataset_table(w.study),
        views=lambda w: view_files(ATLAS.dataset_of(w.study), test_of(w.study, "transfer").view),
        source=lambda w: f"<results>/datasets/{test_of(w.study, 'transfer').source}.parquet",
        source_views=lambda w: view_files(
            test_of(w.study, "transfer").source, test_of(w.study, "transfer").view
        ),
    output:
        "<results>/tests/{study}/transfer.parquet",
    log:
        "<logs>/evaluate/transfer/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/transfer/{study}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=GPUS,
    params:
        test=lambda w: spec(test_of(w.study, "transfer")),
        encoder=lambda w: spec(REPRESENTATIONS[test_of(w.study, "transfer").encoder]),
        targets=lambda w: targets_of(w.study, test_of(w.study, "transfer").targets),
        heads=lambda w: heads_of(test_of(w.study, "transfer").heads),
        runtime=spec(ATLAS.settings.runtime),
        blas_threads=1,
        code=code_of("evaluate/transfer_encoder.py"),
    message:
        "Transferring an encoder to study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/transfer_encoder.py"


rule simulate_noise:
    input:
        dataset=lambda w: dataset_table(w.study),
    output:
        "<results>/tests/{study}/noise.parquet",
    log:
        "<logs>/evaluate/noise/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/noise/{study}.tsv"
    priority: AHEAD
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        test=lambda w: spec(test_of(w.study, "noise")),
        simulation=lambda w: simulation_of(w.study),
        file=lambda w: raw_file(ATLAS.dataset_of(w.study)),
        cube=lambda w: spec(ATLAS.datasets[ATLAS.dataset_of(w.study)]),
        views=lambda w: {v: spec(ATLAS.views[v]) for v in views_simulated(w.study)},
        representations=lambda w: {
            r: spec(REPRESENTATIONS[r])
            for _, r in ATLAS.parts_of(test_of(w.study, "noise").spaces)
        },
        clusterings=lambda w: {
            c: spec(ATLAS.methods.clusterings[c]) for c in test_of(w.study, "noise").clusterings
        },
        unmixings=lambda w: {
            u: spec(ATLAS.methods.unmixings[u])
            for _, u in ATLAS.parts_of(test_of(w.study, "noise").unmixings)
        },
        code=code_of("evaluate/simulate_noise.py"),
    message:
        "Simulating the data of study {wildcards.study} at other doses"
    script:
        "../workflow_scripts/evaluate/simulate_noise.py"


rule fit_pixels:
    input:
        dataset=lambda w: dataset_table(w.study),
        cube=lambda w: raw_file(ATLAS.dataset_of(w.study)),
        spaces=lambda w: spaces_tested(w.study, "pixel_fit"),
    output:
        "<results>/tests/{study}/pixel_fit.parquet",
    log:
        "<logs>/evaluate/pixel_fit/{study}.log",
    benchmark:
        "<benchmarks>/evaluate/pixel_fit/{study}.tsv"
    threads: ATLAS.settings.runtime.blas_threads
    resources:
        mem_mb=2000,
        runtime=120,
    params:
        test=lambda w: spec(test_of(w.study, "pixel_fit")),
        cube=lambda w: spec(ATLAS.datasets[ATLAS.dataset_of(w.study)]),
        clustering=lambda w: spec(
            ATLAS.methods.clusterings[test_of(w.study, "pixel_fit").clustering]
        ),
        code=code_of("evaluate/fit_pixels.py"),
    message:
        "Fitting plasmons to the pixels of study {wildcards.study}"
    script:
        "../workflow_scripts/evaluate/fit_pixels.py"
