"""Describe the pixels of a spectrum image; refuse those that hold nothing."""

from matlas.clean.cubes import about_image, clean_cube
from matlas.jobs import run
from matlas.tables import write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.dataset import REJECTS, dataset_schema


def main(job):
    name, dataset = job.wildcards.dataset, CubeDataset(**job.params.spec)
    clean, rejects, cube = clean_cube(job.input[0], dataset, name)
    about = {"lineage": job.lineage, "attributes": {"dataset": name, **about_image(cube)}}
    write_table(rejects, job.output.rejects, REJECTS, **about)
    write_table(clean, job.output.clean, dataset_schema(name, dataset), **about)


if __name__ == "__main__":
    run(main, snakemake)
