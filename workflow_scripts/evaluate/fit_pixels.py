"""Fit a plasmon to each pixel and cluster the same pixels; compare accuracy and time."""

from matlas.clean.cubes import cube_of
from matlas.evaluate.pixel_fit import pixel_fit_records
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.tables import read_keyed, table_info, write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.learning import TESTS


def main(job):
    params, about = job.params, table_info(job.input.dataset)
    material = read_keyed(job.input.dataset, ["material"])[1]["material"]
    tables = [read_keyed(path) for path in job.input.spaces]
    spaces = {(a["view"], a["representation"]): z.filter(like="z_").loc[material.index].to_numpy() for a, z in tables}
    cube = cube_of(job.input.cube, CubeDataset(**params.cube))
    records = pixel_fit_records(cube, spaces, material.index.to_numpy() - 1, material, params.test, params.clustering)
    table = tests_frame(job.wildcards.study, about.name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": job.wildcards.study})


if __name__ == "__main__":
    run(main, snakemake)
