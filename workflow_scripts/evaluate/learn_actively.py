"""Choose in several ways what to label next, and measure what each way gains."""

from matlas.evaluate.active_learning import active_learning
from matlas.evaluate.records import tests_frame
from matlas.jobs import run
from matlas.probe.targets import target_values
from matlas.tables import read_keyed, read_table, table_info, write_table
from schemas.tables.learning import TESTS


def main(job):
    study, params, dataset, test = job.wildcards.study, job.params, job.input.dataset, job.params.test
    spaces = {(a["view"], a["representation"]): z.filter(like="z_") for a, z in map(read_keyed, job.input.spaces)}
    target = target_values(dataset, params.target)[0][test["target"]]
    parts = read_table(job.input.split[0])
    for z in spaces.values():  # a view may leave entities out
        parts = parts[parts[z.index.name].isin(z.index)]
    options = {name: test[name] for name in ("start", "batch", "rounds", "seeds")}
    records = active_learning(spaces, target, parts, **options, seed=params.seed)
    table = tests_frame(study, table_info(dataset).name, records)
    write_table(table, job.output[0], TESTS, lineage=job.lineage, attributes={"study": study})


if __name__ == "__main__":
    run(main, snakemake)
