"""Draw the figures and tables of one study."""

from pathlib import Path

from matlas.figures.draw import draw, tabulate
from matlas.figures.study_data import load_study_data
from matlas.jobs import run


def main(job):
    data = load_study_data([Path(p) for p in job.input], job.params.study, job.params.title)
    files = {Path(path).name: Path(path) for path in job.output}
    for spec in job.params.figures:
        draw(spec, data, files[f"{spec['name']}.svg"], files[f"{spec['name']}.csv"])
    for spec in job.params.tables:
        tabulate(spec, data, files[f"{spec['name']}.csv"])


if __name__ == "__main__":
    run(main, snakemake)
