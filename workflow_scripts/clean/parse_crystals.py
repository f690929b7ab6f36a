"""Parse one share of the crystals of a dataset, and find their symmetry."""

from pathlib import Path

from matlas.clean.crystal_tables import raw_crystals
from matlas.clean.crystals import parse_shard
from matlas.jobs import run
from matlas.shards import share_of
from matlas.tables import write_table
from schemas.config.datasets import CrystalDataset
from schemas.tables.dataset import REJECTS, crystal_key, parsed_schema, sites_schema


def main(job):
    name, dataset = job.wildcards.dataset, CrystalDataset(**job.params.spec)
    shard, shards = share_of(job.wildcards.scatteritem)
    raw, _ = raw_crystals(dataset, {Path(path).name: Path(path) for path in job.input}, (shard, shards))
    parsed = parse_shard(raw, dataset, dataset.key, shard, shards)
    about, key = {"lineage": job.lineage, "attributes": {"dataset": name}}, crystal_key(dataset)
    write_table(parsed.crystals, job.output.crystals, parsed_schema(name, key), **about)
    write_table(parsed.sites, job.output.sites, sites_schema(name, key), **about)
    write_table(parsed.rejects, job.output.rejects, REJECTS, **about)


if __name__ == "__main__":
    run(main, snakemake)
