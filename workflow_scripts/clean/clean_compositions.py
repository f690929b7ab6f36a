"""Clean a raw table of formulas; refuse bad rows with a reason."""

from matlas.clean.compositions import clean_compositions
from matlas.clean.raw import read_raw
from matlas.jobs import run
from matlas.tables import write_table
from schemas.config.datasets import CompositionDataset
from schemas.tables.dataset import REJECTS, dataset_schema


def main(job):
    name, dataset = job.wildcards.dataset, CompositionDataset(**job.params.spec)
    clean, rejects = clean_compositions(read_raw(job.input[0], dataset.sheet), dataset, name)
    about = {"lineage": job.lineage, "attributes": {"dataset": name}}
    write_table(rejects, job.output.rejects, REJECTS, **about)
    write_table(clean, job.output.clean, dataset_schema(name, dataset), **about)


if __name__ == "__main__":
    run(main, snakemake)
