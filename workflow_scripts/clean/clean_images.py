"""Describe the images of a dataset; quarantine those that can't be used."""

from pathlib import Path

from matlas.clean.images import clean_images
from matlas.jobs import run
from matlas.tables import write_table
from schemas.config.datasets import ImageDataset
from schemas.tables.dataset import REJECTS, dataset_schema


def main(job):
    name, dataset = job.wildcards.dataset, ImageDataset(**job.params.spec)
    clean, rejects = clean_images(Path(job.input.folder), dataset, name)
    about = {"lineage": job.lineage, "attributes": {"dataset": name}}
    write_table(rejects, job.output.rejects, REJECTS, **about)
    write_table(clean, job.output.clean, dataset_schema(name, dataset), **about)


if __name__ == "__main__":
    run(main, snakemake)
