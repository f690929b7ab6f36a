"""Measure how far altered copies of entities travel in each view of a study."""

from matlas.evaluate.sensitivity import sensitivities
from matlas.images.alterations import SENSITIVITY
from matlas.jobs import run
from matlas.tables import read_keyed, table_info, write_table
from schemas.tables.analysis import sensitivity_schema


def main(job):
    study, label = job.wildcards.study, job.params.evaluation["label"]
    key = table_info(job.input.dataset[0]).key_field
    truth = read_keyed(job.input.dataset[0], [label])[1][label] if label else None
    views = [
        (*read_keyed(features), read_keyed(altered)[1])
        for features, altered in zip(job.input.features, job.input.altered, strict=True)
    ]
    measured = sensitivities(study, views, list(SENSITIVITY), truth, job.params.seed)
    write_table(measured, job.output[0], sensitivity_schema(key), lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
