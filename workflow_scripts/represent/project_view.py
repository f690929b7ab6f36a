"""Project one view of a dataset onto its principal components."""

from matlas.jobs import run
from matlas.metrics import metrics_frame
from matlas.represent import fit, projection_metrics
from matlas.retrieval import join_views
from matlas.tables import table_info, write_table
from schemas.tables.analysis import LOADINGS, METRICS, representation_schema


def main(job):
    key = table_info(job.input.dataset).key_field
    features = join_views(job.input.dataset, job.input.views, columns=job.params.columns).set_index(key.name)
    projection = fit(features.to_numpy(), **job.params.spec)
    space, name = dict(job.wildcards.items()), job.wildcards.representation
    about = {"lineage": job.lineage, "attributes": space}
    schema = representation_schema(name, key, projection.scores.shape[1])
    write_table(projection.scores_frame(features.index), job.output.scores, schema, **about)
    write_table(projection.loadings_frame(features.columns), job.output.loadings, LOADINGS, **about)
    records = projection_metrics(projection, job.params.spec["random_state"])
    write_table(metrics_frame(space, name, records), job.output.metrics, METRICS, **about)


if __name__ == "__main__":
    run(main, snakemake)
