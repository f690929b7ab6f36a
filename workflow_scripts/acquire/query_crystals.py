"""Ask the Materials Project for the crystals of a dataset."""

import json
from pathlib import Path

from matlas.files import write_text
from matlas.jobs import run
from matlas.materials_project import fetch_crystals
from schemas.config.datasets import CrystalDataset


def main(job):
    dataset = CrystalDataset(**job.params.spec)
    path = Path(job.output.crystals)
    cache = path.parent / "cache" / job.wildcards.dataset
    origin = fetch_crystals(dataset.query, dataset.raw_columns, path, cache=cache)
    write_text(job.output.origin, json.dumps(origin) + "\n")


if __name__ == "__main__":
    run(main, snakemake)
