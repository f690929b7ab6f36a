"""Put the shares of one view of a dataset of crystals together, in the order of the dataset."""

from matlas.features.crystal import within_failure_share
from matlas.jobs import run
from matlas.shards import gathered
from matlas.tables import read_table, table_info, write_table
from schemas.tables.features import feature_schema
from schemas.tables.learning import failures_schema


def main(job):
    key, view = table_info(job.input.dataset).key_field, job.wildcards.view
    keys = read_table(job.input.dataset, [key.name])[key.name]
    features, failures = (gathered(map(read_table, job.input[name]), keys) for name in ("features", "failures"))
    within_failure_share(failures, len(keys), job.params.spec["max_failure_share"], f"{job.wildcards.dataset}/{view}")
    attributes = {"dataset": job.wildcards.dataset, "view": view, "left_out": str(len(keys) - len(features))}
    about = {"lineage": job.lineage, "attributes": attributes}
    fields = [f for f in table_info(job.input.features[0]).fields if f.name != key.name]
    write_table(features, job.output.features, feature_schema(view, key, fields), **about)
    write_table(failures, job.output.failures, failures_schema(view, key), **about)


if __name__ == "__main__":
    run(main, snakemake)
