"""Write one element-property table, so that featurizing needs no matminer."""

from matlas.features.elements import load_element_table
from matlas.jobs import run
from matlas.tables import write_table
from schemas.tables.features import element_schema


def main(job):
    table = load_element_table(job.wildcards.table)
    schema = element_schema(table.name, table.properties)
    write_table(table.to_frame(), job.output[0], schema, lineage=job.lineage)


if __name__ == "__main__":
    run(main, snakemake)
