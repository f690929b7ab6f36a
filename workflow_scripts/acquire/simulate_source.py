"""Generate one file of a source, in the source's own format, with a planted truth."""

from matlas.jobs import run
from matlas.simulate.generators import generate


def main(job):
    generate(**job.params.spec, path=job.output[0])


if __name__ == "__main__":
    run(main, snakemake)
