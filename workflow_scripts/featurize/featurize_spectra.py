"""Compute one view of the spectra of a dataset of pixels."""

import json

from matlas.clean.cubes import cube_of, reference_spectra
from matlas.features.spectrum import about_axis, reference_frame, spectrum_batches, spectrum_features
from matlas.jobs import run
from matlas.tables import read_table, table_info, write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.features import feature_schema
from schemas.tables.unmixing import reference_schema


def main(job):
    key, view, spec = table_info(job.input.dataset).key_field, job.wildcards.view, job.params.spec
    dataset = CubeDataset(**job.params.cube)
    cube = cube_of(job.input.cube, dataset)
    prepared, fields = spectrum_features(cube, spec)
    pixels = read_table(job.input.dataset, [key.name])[key.name]
    attributes = {"dataset": job.wildcards.dataset, "view": view, "spec": json.dumps(spec), **about_axis(prepared)}
    about = {"lineage": job.lineage, "attributes": attributes}
    batches = spectrum_batches(prepared, fields, pixels)
    write_table(batches, job.output.features, feature_schema(view, key, fields), **about)
    given = reference_frame(*reference_spectra(job.input.cube, dataset, cube), spec)
    write_table(given, job.output.references, reference_schema(view, prepared.signal.unit), **about)


if __name__ == "__main__":
    run(main, snakemake)
