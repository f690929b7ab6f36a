"""Render the report from the catalog and the figures."""

from pathlib import Path

from matlas.jobs import run
from matlas.report.build import render


def main(job):
    params = job.params
    render(
        Path(job.output[0]), Path(job.input.catalog).parent, studies=params.studies, structures=params.structure,
        skipped=params.skipped, left_out=params.get("left_out", {}), restrictions=params.restrictions,
        methods=params.methods, sources=params.sources, datasets=params.datasets, logs=Path(job.log).parents[1],
        by_design=params.by_design,
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
