"""Ask the Materials Project for the crystals of a dataset."""

from pathlib import Path

from matlas.jobs import run
from matlas.materials_project import fetch_crystals
from schemas.config.datasets import CrystalDataset


def main(job):
    dataset = CrystalDataset(**job.params.spec)
    path = Path(job.output[0])
    cache = path.parent / "cache" / job.wildcards.dataset
    job.notes.update(fetch_crystals(dataset.query, dataset.raw_columns, path, cache=cache))


if __name__ == "__main__":
    run(main, snakemake)
