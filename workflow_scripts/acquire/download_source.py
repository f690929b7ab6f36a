"""Fetch one file of a source from the mirror or its origin, and verify it."""

import os
from pathlib import Path

from matlas.acquire import fetch
from matlas.jobs import log, run


def main(job):
    mirror = os.environ.get("MATLAS_MIRROR") or job.settings.get("mirror")
    fetch(job.wildcards.source, job.params.file, Path(job.output[0]), mirror=mirror, log=log.info)


if __name__ == "__main__":
    run(main, snakemake)
