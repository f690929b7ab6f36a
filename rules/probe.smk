def views_read_by(study, inputs):
    """The views behind some inputs of a study's probes."""
    probing = ATLAS.studies[study].probing
    return sorted({v for name in inputs for v, _ in ATLAS.parts_of(probing.inputs[name])})


def trial_of(study, split):
    return next(t for t in ATLAS.studies[study].probing.trials if t.split == split)


def inputs_of(study, split):
    """The inputs that are tried under a split: {name: [(view, representation)]}."""
    probing = ATLAS.studies[study].probing
    names = trial_of(study, split).inputs or probing.inputs
    return {name: ATLAS.parts_of(probing.inputs[name]) for name in names}


def encodings_of(study, split, inputs):
    """The codes of the encoders that were trained for each fold."""
    dataset = ATLAS.dataset_of(study)
    networks = {p for parts in inputs.values() for p in parts if p[1] in NETWORKS}
    return [f"<results>/encodings/{dataset}/{v}/{r}/{split}.parquet" for v, r in sorted(networks)]


def how_prepared(inputs):
    """What must be fitted again in each fold to make the parts of inputs."""
    return {
        name: [
            {
                "view": v,
                "representation": r,
                "stored": ATLAS.raw_views(v),
                "columns": getattr(ATLAS.views[v], "columns", []),
                "select": how_selected(v),
                "spec": spec(REPRESENTATIONS[r]),
            }
            for v, r in parts
        ]
        for name, parts in inputs.items()
    }


def heads_of(names):
    return {name: spec(ATLAS.methods.heads[name]) for name in names}


rule probe_properties:
    input:
        dataset=lambda w: f"<results>/datasets/{ATLAS.dataset_of(w.study)}.parquet",
        split=lambda w: split_files(ATLAS.dataset_of(w.study), w.split),
        views=lambda w: raw_view_files(
            ATLAS.dataset_of(w.study), *views_read_by(w.study, inputs_of(w.study, w.split))
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
