rule build_catalog:
    input:
        sorted({t for study in ATLAS.studies for t in tables_of(study)}),
        [claims_of(study) for study in ATLAS.studies],
    output:
        update("<results>/matlas.duckdb"),
    log:
        "<logs>/report/catalog.log",
    benchmark:
        "<benchmarks>/report/catalog.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        studies={study: study_structure(study) for study in ATLAS.studies},
        joined={n: spec(v) for n, v in ATLAS.views.items() if v.kind == "joined"},
        code=code_of("report/build_catalog.py"),
    message:
        "Building the catalog"
    script:
        "../workflow_scripts/report/build_catalog.py"


rule render_report:
    input:
        catalog="<results>/matlas.duckdb",
        figures=[f for study in ATLAS.studies for f in figures_of(study)],
    output:
        report("<results>/report/index.html", category="Report"),
    log:
        "<logs>/report/report.log",
    benchmark:
        "<benchmarks>/report/report.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        studies={name: spec(study) for name, study in ATLAS.studies.items()},
        structure={name: study_structure(name) for name in ATLAS.studies},
        restrictions={name: restrictions_of(name) for name in ATLAS.studies},
        left_out=LEFT_OUT,
        skipped={name: ATLAS.skipped(name) for name in ATLAS.studies},
        methods={
            "splits": {name: spec(split) for name, split in ATLAS.methods.splits.items()},
            "representations": {name: spec(r) for name, r in REPRESENTATIONS.items()},
        },
        sources={name: spec(source) for name, source in ATLAS.sources.items()},
        by_design=[name for name in ATLAS.datasets if ATLAS.simulated_by_design(name)],
        datasets={name: spec(dataset) for name, dataset in ATLAS.datasets.items()},
        code=code_of("report/render_report.py"),
    message:
        "Rendering the report"
    script:
        "../workflow_scripts/report/render_report.py"
