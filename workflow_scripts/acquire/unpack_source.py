"""Unpack one archive of a source, with path and size checks."""

from pathlib import Path

from matlas.jobs import run
from matlas.unpack import unpack


def main(job):
    file = job.params.file
    unpack(
        Path(job.input[0]), Path(job.output[0]), kind=file["unpack"], max_bytes=file["max_unpacked_bytes"],
        max_files=file["max_files"], source_id=job.params.name,
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
