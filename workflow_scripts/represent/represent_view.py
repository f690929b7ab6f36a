"""Represent one view of a dataset: as it is, by principal components or factors, or as a map."""

from matlas.jobs import run
from matlas.metrics import metrics_frame
from matlas.represent import coordinates
from matlas.retrieval import rows_of_views
from matlas.rows import held
from matlas.tables import read_keyed, read_table, table_info, write_table
from matlas.trained import represent_rows, train_on
from schemas.tables.analysis import LOADINGS, METRICS, representation_schema


def main(job):
    key = table_info(job.input.dataset).key_field
    if job.input.mapped:
        features = held(coordinates(read_keyed(job.input.mapped[0])[1]))
    else:
        features = rows_of_views(job.input.dataset, job.input.views, columns=job.params.columns)
    spec = {parameter: value for parameter, value in job.params.spec.items() if parameter not in ("split", "of")}
    if job.input.split:
        _, made, _ = train_on(features, read_table(job.input.split[0]), spec)
    else:
        made = represent_rows(features, spec)
    space, name = dict(job.wildcards.items()), job.wildcards.representation
    about = {"lineage": job.lineage, "attributes": space}
    schema = representation_schema(name, key, made.scores.shape[1], rebuilt=made.reconstruction_error is not None)
    write_table(made.scores_frame(features.index), job.output.scores, schema, **about)
    if made.loadings is not None:
        write_table(made.loadings_frame(features.columns), job.output.loadings, LOADINGS, **about)
    write_table(metrics_frame(space, name, made.records), job.output.metrics, METRICS, **about)


if __name__ == "__main__":
    run(main, snakemake)
