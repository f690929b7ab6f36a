"""Compute one view of every distinct composition of a dataset."""

import json

from matlas.features.composition import feature_batches, feature_fields
from matlas.features.elements import read_element_table
from matlas.jobs import run
from matlas.tables import read_table, write_table
from schemas.fields import FIELDS
from schemas.tables.features import feature_schema


def main(job):
    formulas = read_table(job.input.dataset, ["composition"])["composition"].drop_duplicates().tolist()
    spec = job.params.spec
    table = read_element_table(job.input.elements[0]) if job.input.elements else None
    write_table(
        feature_batches(formulas, spec, table),
        job.output[0],
        feature_schema(job.wildcards.view, FIELDS["composition"], feature_fields(spec, table)),
        lineage=job.lineage,
        attributes={"dataset": job.wildcards.dataset, "view": job.wildcards.view, "spec": json.dumps(spec)},
    )


if __name__ == "__main__":
    run(main, snakemake)
