"""Put the parsed shares of a dataset of crystals together, one row a crystal; refuse bad rows with a reason."""

from pathlib import Path

from matlas.clean.crystal_tables import raw_crystals
from matlas.clean.crystals import clean_crystals
from matlas.clean.origin import origin_of
from matlas.jobs import run
from matlas.shards import gathered
from matlas.tables import read_table, write_table
from schemas.config.datasets import CrystalDataset
from schemas.tables.dataset import REJECTS, crystal_key, dataset_schema, sites_schema


def main(job):
    name, dataset = job.wildcards.dataset, CrystalDataset(**job.params.spec)
    raw, refused = raw_crystals(dataset, {Path(path).name: Path(path) for path in job.input.raw}, share=None)
    parsed = ([read_table(path) for path in paths] for paths in (job.input.crystals, job.input.rejects))
    clean, rejects = clean_crystals(raw, refused, *parsed, dataset, name)
    origin = origin_of(dataset, job.input.origin)
    about = {"lineage": job.lineage, "attributes": {"dataset": name, **origin}}
    write_table(rejects, job.output.rejects, REJECTS, **about)
    sites = gathered(job.input.sites, clean[dataset.key])
    write_table(sites, job.output.sites, sites_schema(name, crystal_key(dataset)), **about)
    write_table(clean, job.output.clean, dataset_schema(name, dataset), **about)


if __name__ == "__main__":
    run(main, snakemake)
