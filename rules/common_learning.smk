# What the rules that probe and test representations ask of the configuration.


def expressions_of(study):
    """The SQL over columns of the dataset that a study holds, by where it stands."""
    probing, audit, found = ATLAS.studies[study].probing, ATLAS.studies[study].tests.audit, {}
    for name, target in probing.targets.items() if probing else ():
        where = f"config/studies/{study}.yaml: probing: targets: {name}"
        found |= {
            f"{where}: {key}": sql for key in ("sql", "where") if (sql := getattr(target, key))
        }
    if audit and audit.stability:
        found[f"config/studies/{study}.yaml: tests: audit: stability"] = audit.stability
    return found


# said at once, and not when the data have been read; by the process that plans, not again by that of each job
EXPRESSIONS = {study: found for study in ATLAS.studies if (found := expressions_of(study))}
if workflow.is_main_process and EXPRESSIONS:  # pandas, which this takes, is a second of every call
    from matlas.expressions import check_expressions
    from schemas.tables.dataset import dataset_schema

    try:
        for study, expressions in EXPRESSIONS.items():
            dataset = ATLAS.dataset_of(study)
            check_expressions(dataset_schema(dataset, ATLAS.datasets[dataset]).empty(), expressions)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


def dataset_table(study):
    return f"<results>/datasets/{ATLAS.dataset_of(study)}.parquet"


def views_read_by(inputs):
    """The views behind some inputs of a study's probes."""
    return sorted({v for parts in inputs.values() for v, _ in parts})


def trial_of(study, split):
    return next(t for t in ATLAS.studies[study].probing.trials if t.split == split)


def inputs_named(study, names):
    """Inputs of a study's probes: {name: [(view, representation)]}."""
    probing = ATLAS.studies[study].probing
    return {name: ATLAS.parts_of(probing.inputs[name]) for name in names}


def inputs_of(study, split):
    """The inputs that are tried under a split."""
    return inputs_named(study, trial_of(study, split).inputs or ATLAS.studies[study].probing.inputs)


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


def test_of(study, name):
    return getattr(ATLAS.studies[study].tests, name)


def split_of_encoder(study, name):
    """The split on which the encoder of a test is trained."""
    return split_files(ATLAS.dataset_of(study), split_of(test_of(study, name).encoder))


def targets_of(study, names):
    """The definitions of some targets of a study."""
    probing = ATLAS.studies[study].probing
    return {name: spec(probing.targets[name]) for name in names}


def spaces_tested(study, name):
    """The stored spaces that a test looks at."""
    dataset = ATLAS.dataset_of(study)
    return [f"<results>/representations/{dataset}/{s}.parquet" for s in test_of(study, name).spaces]


def inputs_uncertain(study):
    """The inputs whose uncertainty is measured."""
    return inputs_named(study, test_of(study, "uncertainty").inputs)


def simulation_of(study):
    """What the generator of a study's data is told."""
    dataset = ATLAS.datasets[ATLAS.dataset_of(study)]
    file = raw_file(ATLAS.dataset_of(study)).split("/")[-1]
    return spec(ATLAS.simulation(dataset.source, file))


def views_simulated(study):
    """The views that are made again where the data of a study are simulated again."""
    test = test_of(study, "noise")
    return sorted({view for view, _ in ATLAS.parts_of([*test.spaces, *test.unmixings])})
