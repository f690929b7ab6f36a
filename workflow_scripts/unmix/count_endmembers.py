"""Count the endmembers that the counts of a view support."""

from matlas.jobs import run
from matlas.retrieval import rows_of_views
from matlas.rows import taken
from matlas.tables import table_info, write_table
from matlas.unmix.tables import counted
from schemas.tables.unmixing import ENDMEMBER_COUNTS


def main(job):
    space = dict(job.wildcards.items())
    about = table_info(job.input.features).attributes
    features = rows_of_views(job.input.dataset, [job.input.features], columns=[])
    frame = counted(taken(features), space, job.params.spec, are_counts=about["counts"] == "true")
    write_table(frame, job.output[0], ENDMEMBER_COUNTS, lineage=job.lineage, attributes=space)


if __name__ == "__main__":
    run(main, snakemake)
