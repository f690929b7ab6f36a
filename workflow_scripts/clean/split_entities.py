"""Decide which entities each fold of a split trains on, and which it tests."""

from matlas.jobs import run
from matlas.probe.splits import fold_parts
from matlas.tables import read_table, table_info, write_table
from schemas.tables.learning import split_schema


def main(job):
    dataset, spec = job.input[0], job.params.spec
    key = table_info(dataset).key_field
    by = [spec[name] for name in ("by", "validation_by") if spec.get(name)]
    entities = read_table(dataset, [key.name, *dict.fromkeys(by)]).set_index(key.name)
    attributes = {"dataset": job.wildcards.dataset, "split": job.wildcards.split}
    schema = split_schema(job.wildcards.split, key)
    write_table(fold_parts(spec, entities), job.output[0], schema, lineage=job.lineage, attributes=attributes)


if __name__ == "__main__":
    run(main, snakemake)
