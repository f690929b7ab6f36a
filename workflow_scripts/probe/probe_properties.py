"""Probe what a study's properties can be read out of, under one split."""

from matlas.jobs import run
from matlas.probe.inputs import read_inputs
from matlas.probe.study import probe_study
from matlas.probe.targets import target_values
from matlas.tables import read_keyed, read_table, table_info, write_table
from schemas.tables.learning import COMPARISONS, PROBES, predictions_schema


def main(job):
    study, params, dataset = job.wildcards.study, job.params, job.input.dataset
    probing = params.probing
    raw, inputs = read_inputs(dataset, job.input.views, job.input.encodings, params.inputs)
    about = read_keyed(dataset, list(filter(None, (probing["resampled_by"], probing["families"]))))[1]
    targets, tasks = target_values(dataset, probing["targets"])
    made = probe_study(
        study, raw, inputs, targets, tasks, about, read_table(job.input.split[0]), probing, params.trial, params.heads,
        params.split,
    )  # fmt: skip
    key = table_info(dataset).key_field
    about = {"lineage": job.lineage, "attributes": {"study": study, "split": job.wildcards.split}}
    write_table(made.predictions, job.output.predictions, predictions_schema(study, key), **about)
    write_table(made.scores, job.output.scores, PROBES, **about)
    write_table(made.comparisons, job.output.comparisons, COMPARISONS, **about)


if __name__ == "__main__":
    run(main, snakemake)
