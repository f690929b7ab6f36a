"""Draw the figures and tables of one study."""

from pathlib import Path

from matlas.figures.draw import draw, tabulate
from matlas.figures.study_data import load_study_data
from matlas.jobs import run


def main(job):
    params = job.params
    data = load_study_data(
        [Path(p) for p in job.input.tables], params.study, params.title, label=params.label,
        described_by=params.described_by, restrictions=params.restrictions, definitions=params.definitions,
        mark=params.mark, images=Path(job.input.images[0]) if job.input.images else None,
        white_level=params.white_level,
    )  # fmt: skip
    files = {Path(path).name: Path(path) for path in job.output}
    for spec in params.figures:
        draw(spec, data, files[f"{spec['name']}.svg"], files[f"{spec['name']}.csv"])
    for spec in params.tables:
        tabulate(spec, data, files[f"{spec['name']}.csv"])


if __name__ == "__main__":
    run(main, snakemake)
