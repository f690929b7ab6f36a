"""Clean a raw table of formulas; refuse bad rows with a reason."""

from matlas.clean.compositions import clean_batches
from matlas.clean.raw import raw_batches
from matlas.clean.rejects import as_rejects
from matlas.jobs import run
from matlas.tables import write_table
from schemas.config.datasets import CompositionDataset
from schemas.tables.dataset import REJECTS, dataset_schema


def main(job):
    name, dataset = job.wildcards.dataset, CompositionDataset(**job.params.spec)
    rejects = []
    clean = clean_batches(raw_batches(job.input[0], dataset.sheet), dataset, name, rejects)
    about = {"lineage": job.lineage, "attributes": {"dataset": name}}
    write_table(clean, job.output.clean, dataset_schema(name, dataset), **about)
    write_table(as_rejects(rejects), job.output.rejects, REJECTS, **about)


if __name__ == "__main__":
    run(main, snakemake)
