"""Sweep the number of clusters of one representation; label its entities; measure how stable the labels are."""

from matlas.cluster.study import cluster
from matlas.jobs import run
from matlas.metrics import metrics_frame
from matlas.tables import read_table, table_info, write_table
from schemas.tables.analysis import METRICS, cluster_schema


def main(job):
    info = table_info(job.input.scores)
    scores = read_table(job.input.scores).set_index(info.key[0]).filter(like="z_")
    spec = dict(job.params.spec)
    groups = read_table(job.input.dataset, [*info.key, spec["stability"]["group"]]).set_index(info.key[0])
    result = cluster(scores.to_numpy(), groups.loc[scores.index].squeeze(axis=1), **spec)
    space = {name: job.wildcards[name] for name in ("dataset", "view", "representation")}
    about = {"lineage": job.lineage, "attributes": dict(job.wildcards.items())}
    schema = cluster_schema(job.wildcards.clustering, info.key_field, spec["k"], result.n_responsibilities)
    write_table(result.labels_frame(scores.index), job.output.labels, schema, **about)
    metrics = metrics_frame(space, job.wildcards.clustering, result.records)
    write_table(metrics, job.output.metrics, METRICS, **about)


if __name__ == "__main__":
    run(main, snakemake)
