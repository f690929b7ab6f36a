"""Transfer an encoder of the compositions of one dataset to a study whose labels are few."""

from matlas.evaluate.records import tests_frame
from matlas.evaluate.transfer import Own, transfer
from matlas.jobs import run
from matlas.probe.targets import target_values
from matlas.retrieval import join_views
from matlas.tables import read_keyed, table_info, write_table
from schemas.tables.learning import TESTS

FORMULA = "reduced_formula"


def main(job):
    study, params, dataset, test = job.wildcards.study, job.params, job.input.dataset, job.params.test
    key, source_key = (table_info(path).key_field.name for path in (dataset, job.input.source))
    descriptors = join_views(dataset, job.input.views).set_index(key)
    source = join_views(job.input.source, job.input.source_views).set_index(source_key)
    about = read_keyed(dataset, list(dict.fromkeys([FORMULA, test["group"], *test["columns"]])))[1]
    targets = target_values(dataset, params.targets)[0]
    own = Own(descriptors, about[FORMULA], about[test["group"]], about[test["columns"]], targets)
    formulas = read_keyed(job.input.source, [FORMULA])[1][FORMULA]
    records = transfer(
        own, source, formulas, {**params.encoder, "device": params.runtime["device"]}, params.heads,
        view=test["view"], sizes=test["sizes"], seeds=test["seeds"], seed=params.runtime["seed"],
    )  # fmt: skip
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
