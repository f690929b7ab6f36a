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
