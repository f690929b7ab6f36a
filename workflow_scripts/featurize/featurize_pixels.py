"""Compute the raw-pixel view of a dataset of images, and of altered copies of some of them."""

from pathlib import Path

from matlas.features.images import pixel_features
from matlas.jobs import run
from matlas.tables import read_table, table_info, write_table
from schemas.tables.features import altered_schema, feature_schema


def main(job):
    key, view = table_info(job.input.dataset).key_field, job.wildcards.view
    images = read_table(job.input.dataset, [key.name])[key.name]
    made = pixel_features(Path(job.input.images), images, job.params.white_level, job.params.spec)
    about = {"lineage": job.lineage, "attributes": {"dataset": job.wildcards.dataset, "view": view}}
    write_table(made.features, job.output.features, feature_schema(view, key, made.fields), **about)
    write_table(made.altered, job.output.altered, altered_schema(view, key, made.fields), **about)


if __name__ == "__main__":
    run(main, snakemake)
