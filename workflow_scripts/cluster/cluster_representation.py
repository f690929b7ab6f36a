"""Sweep the number of clusters of one representation; label its entities; measure how stable the labels are."""

from matlas.cluster.study import cluster
from matlas.jobs import run
from matlas.metrics import metrics_frame
from matlas.tables import read_table, table_info, write_table
from schemas.tables.analysis import METRICS, cluster_schema, reruns_schema


def main(job):
    info = table_info(job.input.scores)
    scores = read_table(job.input.scores).set_index(info.key[0]).filter(like="z_")
    spec = dict(job.params.spec)
    group = spec.get("stability", {}).get("group") or job.params.resampled_by
    groups = read_table(job.input.dataset, [*info.key, group]).set_index(info.key[0])[group] if group else None
    result = cluster(scores.to_numpy(), groups if groups is None else groups.loc[scores.index], **spec)
    space = {name: job.wildcards[name] for name in ("dataset", "view", "representation")}
    about = {"lineage": job.lineage, "attributes": dict(job.wildcards.items())}
    name = job.wildcards.clustering
    schema = cluster_schema(name, info.key_field, result.swept, result.n_responsibilities)
    write_table(result.labels_frame(scores.index), job.output.labels, schema, **about)
    reruns = result.reruns_frame(scores.index)
    write_table(reruns, job.output.reruns, reruns_schema(name, info.key_field, reruns.columns[1:]), **about)
    metrics = metrics_frame(space, name, result.records)
    write_table(metrics, job.output.metrics, METRICS, **about)


if __name__ == "__main__":
    run(main, snakemake)
