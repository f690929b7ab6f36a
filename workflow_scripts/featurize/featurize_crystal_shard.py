"""Compute one view of a share of the crystals of a dataset."""

from matlas.crystals.stored import read_crystals, symmetry_frame
from matlas.features.crystal import geometry_batches, geometry_fields
from matlas.features.elements import read_element_table
from matlas.jobs import run
from matlas.shards import share_of
from matlas.tables import table_info, write_table
from schemas.tables.features import feature_schema
from schemas.tables.learning import failures_schema


def main(job):
    key, view, spec = table_info(job.input.dataset).key_field, job.wildcards.view, job.params.spec
    shard, shards = share_of(job.wildcards.scatteritem)
    crystals = read_crystals(job.input.dataset, job.input.sites, shard=shard, shards=shards)
    elements = read_element_table(job.input.elements[0])
    features, failures = geometry_batches(crystals, symmetry_frame(job.input.dataset), spec, elements, key=key.name)
    about = {"lineage": job.lineage, "attributes": {"dataset": job.wildcards.dataset, "view": view}}
    write_table(features, job.output.features, feature_schema(view, key, geometry_fields(spec, elements)), **about)
    write_table(failures, job.output.failures, failures_schema(view, key), **about)


if __name__ == "__main__":
    run(main, snakemake)
