for study in ATLAS.studies:

    # One rule a study, because the figures are named by the study's file: a deleted figure is then redrawn.
    rule:
        name:
            f"figures_{study}"
        input:
            tables=tables_of(study),
            images=images_of(study),
        output:
            [
                (
                    report(f, category=ATLAS.studies[study].title, labels={"figure": Path(f).stem})
                    if f.endswith(".svg")
                    else f
                )
                for f in figures_of(study)
            ],
        log:
            f"<logs>/figure/{study}.log",
        benchmark:
            f"<benchmarks>/figure/{study}.tsv"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=20,
        params:
            study=study,
            title=ATLAS.studies[study].title,
            label=ATLAS.studies[study].evaluation.label,
            described_by=ATLAS.datasets[ATLAS.dataset_of(study)].described_by,
            white_level=getattr(ATLAS.datasets[ATLAS.dataset_of(study)], "white_level", None),
            restrictions=restrictions_of(study),
            mark=mark_of(study),
            definitions=definitions_of(study),
            figures=[spec(f) for f in ATLAS.studies[study].figures],
            tables=[spec(t) for t in ATLAS.studies[study].tables],
            code=code_of("figure/draw_figures.py"),
        message:
            f"Drawing the figures of study {study}"
        script:
            "../workflow_scripts/figure/draw_figures.py"

    rule:
        name:
            study
        input:
            tables_of(study),
            figures_of(study),
            models_of(study),
            claims_of(study),
