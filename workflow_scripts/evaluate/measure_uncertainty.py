"""Measure how far the predictions of a study can be trusted, inside and outside of the families they know."""

from matlas.evaluate.records import tests_frame
from matlas.evaluate.uncertainty import reconstruction_errors, uncertainty
from matlas.jobs import run
from matlas.probe.inputs import read_inputs
from matlas.probe.targets import target_values
from matlas.tables import read_keyed, read_table, table_info, write_table
from schemas.tables.learning import TESTS


def main(job):
    study, params, dataset, test = job.wildcards.study, job.params, job.input.dataset, job.params.test
    raw, inputs = read_inputs(dataset, job.input.views, job.input.encodings, params.inputs)
    target = target_values(dataset, params.target)[0][test["target"]].reindex(raw.index)
    groups = read_keyed(dataset, [params.resampled_by])[1][params.resampled_by]
    parts = read_table(job.input.split[0])
    parts = parts[parts[raw.index.name].isin(raw.index)]  # a view may leave entities out
    errors = reconstruction_errors(job.input.encodings, params.inputs)
    records = uncertainty(
        raw.to_numpy(), inputs, target, groups, parts, params.head[test["head"]], level=test["level"], errors=errors,
        seed=params.seed,
    )  # fmt: skip
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
