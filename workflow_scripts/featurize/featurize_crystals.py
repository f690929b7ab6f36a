"""Put the shares of one view of a dataset of crystals together, in the order of the dataset."""

import pandas as pd

from matlas.features.crystal import within_failure_share
from matlas.jobs import run
from matlas.shards import gathered
from matlas.tables import read_table, table_info, write_table
from schemas.tables.features import feature_schema
from schemas.tables.learning import failures_schema


def main(job):
    key, view = table_info(job.input.dataset).key_field, job.wildcards.view
    keys = read_table(job.input.dataset, [key.name])[key.name]
    failures = pd.concat(gathered(job.input.failures, keys), ignore_index=True)
    described = sum(table_info(path).rows for path in job.input.features)
    within_failure_share(failures, len(keys), job.params.spec["max_failure_share"], f"{job.wildcards.dataset}/{view}")
    attributes = {"dataset": job.wildcards.dataset, "view": view, "left_out": str(len(keys) - described)}
    about = {"lineage": job.lineage, "attributes": attributes}
    fields = [f for f in table_info(job.input.features[0]).fields if f.name != key.name]
    features = gathered(job.input.features, keys)
    write_table(features, job.output.features, feature_schema(view, key, fields), **about)
    write_table(failures, job.output.failures, failures_schema(view, key), **about)


if __name__ == "__main__":
    run(main, snakemake)
