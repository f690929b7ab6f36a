"""Compute one view of the spectra of a dataset of pixels."""

import json

from matlas.clean.cubes import cube_of
from matlas.features.spectrum import spectrum_batches, spectrum_features
from matlas.jobs import run
from matlas.tables import read_table, table_info, write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.features import feature_schema


def main(job):
    key, view, spec = table_info(job.input.dataset).key_field, job.wildcards.view, job.params.spec
    cube = cube_of(job.input.cube, CubeDataset(**job.params.cube))
    prepared, fields = spectrum_features(cube, spec)
    pixels = read_table(job.input.dataset, [key.name])[key.name]
    attributes = {"dataset": job.wildcards.dataset, "view": view, "spec": json.dumps(spec)}
    batches = spectrum_batches(prepared, fields, pixels)
    write_table(batches, job.output[0], feature_schema(view, key, fields), lineage=job.lineage, attributes=attributes)


if __name__ == "__main__":
    run(main, snakemake)
