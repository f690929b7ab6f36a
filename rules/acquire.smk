rule download_source:
    output:
        "<results>/sources/{source}/{file}",
    log:
        "<logs>/acquire/{source}/{file}.log",
    benchmark:
        "<benchmarks>/acquire/{source}/{file}.tsv"
    wildcard_constraints:
        source=one_of(set(ATLAS.sources) - SIMULATED_SOURCES),
        file=one_of({re.escape(f) for s in ATLAS.sources.values() for f in s.files}),
    threads: 1
    resources:
        mem_mb=500,
        runtime=60,
    params:
        file=lambda w: spec(ATLAS.sources[w.source].files[w.file]),
        code=code_of("acquire/download_source.py"),
    message:
        "Fetching {wildcards.file} of source {wildcards.source}"
    script:
        "../workflow_scripts/acquire/download_source.py"


rule unpack_source:
    input:
        "<results>/sources/{source}/{file}",
    output:
        directory("<results>/sources/{source}/unpacked/{file}"),
    log:
        "<logs>/acquire/{source}/{file}.unpack.log",
    benchmark:
        "<benchmarks>/acquire/{source}/{file}.unpack.tsv"
    wildcard_constraints:
        file=one_of(
            {
                re.escape(f)
                for s in ATLAS.sources.values()
                for f in s.files
                if s.files[f].unpack != "none"
            }
        ),
    threads: 1
    resources:
        mem_mb=500,
        runtime=30,
    params:
        name=lambda w: w.source,
        file=lambda w: spec(ATLAS.sources[w.source].files[w.file]),
        code=code_of("acquire/unpack_source.py"),
    message:
        "Unpacking {wildcards.file} of source {wildcards.source}"
    script:
        "../workflow_scripts/acquire/unpack_source.py"


use rule unpack_source as unpack_dataset with:
    input:
        lambda w: ATLAS.datasets[w.dataset].path,
    output:
        directory("<results>/unpacked/{dataset}"),
    log:
        "<logs>/acquire/{dataset}.unpack.log",
    benchmark:
        "<benchmarks>/acquire/{dataset}.unpack.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, d in ATLAS.datasets.items() if d.path and d.kind == "image"),
    params:
        name=lambda w: w.dataset,
        file=lambda w: own_archive(ATLAS.datasets[w.dataset].path),
        code=code_of("acquire/unpack_source.py"),
    message:
        "Unpacking dataset {wildcards.dataset}"


rule simulate_source:
    output:
        "<results>/sources/{source}/{file}",
    log:
        "<logs>/acquire/{source}/{file}.sample.log",
    benchmark:
        "<benchmarks>/acquire/{source}/{file}.sample.tsv"
    wildcard_constraints:
        source=one_of(SIMULATED_SOURCES),
        file=one_of({re.escape(f) for s in ATLAS.sources.values() for f in s.file_names}),
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda w: spec(ATLAS.simulation(w.source, w.file)),
        code=code_of("acquire/simulate_source.py"),
    message:
        "Simulating source {wildcards.source}"
    script:
        "../workflow_scripts/acquire/simulate_source.py"


# Asks the Materials Project; what it has answered is kept in the cache, so that an interrupted query goes on.
rule query_crystals:
    output:
        crystals="<results>/queries/{dataset}.jsonl.gz",
        origin="<results>/queries/{dataset}.json",
    log:
        "<logs>/acquire/{dataset}.query.log",
    benchmark:
        "<benchmarks>/acquire/{dataset}.query.tsv"
    wildcard_constraints:
        dataset=one_of(name for name, d in ATLAS.datasets.items() if d.provider == "api"),
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    params:
        spec=lambda w: spec(ATLAS.datasets[w.dataset]),
        code=code_of("acquire/query_crystals.py"),
    message:
        "Asking the Materials Project for dataset {wildcards.dataset}"
    script:
        "../workflow_scripts/acquire/query_crystals.py"
