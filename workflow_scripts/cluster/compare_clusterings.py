"""Compare every two labelings of a study."""

from matlas.cluster.study import agreement
from matlas.jobs import run
from matlas.tables import read_table, table_info, write_table
from schemas.tables.analysis import AGREEMENT


def main(job):
    tables = [(table_info(path), read_table(path)) for path in job.input]
    labelings = [(info.attributes, table.set_index(list(info.key))) for info, table in tables]
    study = job.wildcards.study
    write_table(agreement(labelings, study), job.output[0], AGREEMENT, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
