"""Render the report from the catalog and the figures."""

from pathlib import Path

from matlas.jobs import run
from matlas.report.build import render


def main(job):
    render(
        Path(job.output[0]), Path(job.input.catalog).parent, job.params.studies, job.params.skipped,
        job.params.sources, job.params.datasets, logs=Path(job.log).parents[1],
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
