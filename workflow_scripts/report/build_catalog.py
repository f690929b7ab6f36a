"""Build the catalog over all tables and swap it in."""

from pathlib import Path

from matlas.catalog import build_catalog
from matlas.jobs import run


def main(job):
    path = Path(job.output[0])
    tables = [Path(p) for p in job.input]
    logs = Path(job.log).parents[1]
    build_catalog(path, tables, path.parent, studies=job.params.studies, joined_views=job.params.joined, logs=logs)


if __name__ == "__main__":
    run(main, snakemake)
