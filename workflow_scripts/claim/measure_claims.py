"""Measure the claims of one study by their SQL over its tables."""

from pathlib import Path

from matlas.catalog import catalog_connection
from matlas.claims import measure
from matlas.jobs import run
from matlas.tables import write_table
from schemas.tables.analysis import CLAIMS


def main(job):
    study, root = job.wildcards.study, Path(job.output[0]).parents[1]
    tables = [Path(p) for p in job.input]
    with catalog_connection(
        tables, root, studies={study: job.params.structure}, joined_views=job.params.joined
    ) as catalog:
        claims = measure(
            catalog, job.params.claims, study, simulated=job.lineage.simulated, skipped=job.params.skipped,
            left_out=job.params.left_out, by_design=job.params.simulated_by_design,
        )  # fmt: skip
    write_table(claims, job.output[0], CLAIMS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
