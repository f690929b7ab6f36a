"""Fit all X-ray lines to the summed counts of each phase."""

from matlas.clean.cubes import cube_of
from matlas.cubes.phases import phase_quantities
from matlas.jobs import run
from matlas.tables import read_table, table_info, write_table
from schemas.config.datasets import CubeDataset
from schemas.tables.unmixing import QUANTITIES


def main(job):
    dataset, about = CubeDataset(**job.params.cube), table_info(job.input.abundances)
    shares = read_table(job.input.abundances).set_index(about.key_field.name).filter(like="share_")
    shares = shares.set_axis(shares.index - 1).rename(columns=lambda name: name.removeprefix("share_"))
    cube = cube_of(job.input.cube, dataset)
    found = phase_quantities(cube, shares, dataset.eds.model_dump(mode="json"), job.params.spec)
    found = found.assign(study=job.wildcards.study, dataset=about.attributes["dataset"])[QUANTITIES.columns]
    write_table(found, job.output[0], QUANTITIES, lineage=job.lineage, attributes={"study": job.wildcards.study})


if __name__ == "__main__":
    run(main, snakemake)
