"""What the bench measures: a row a number, with its spread over the repeats and what it is held to."""

from schemas.fields import FIELDS
from schemas.table import Field, TableSchema

BENCH = TableSchema(
    "bench", "bench", ("comparison", "metric"),
    (
        Field("comparison", "string", "", "What was compared or measured, by its name in bench/targets.yaml"),
        Field("title", "string", "", "The same in words, with sizes"),
        FIELDS["metric"],
        Field("unit", "string", "", "Unit of the value; a ratio is the peer's time by ours"),
        Field("value", "float64", "", "The measured number: of several repeats the median"),
        Field("low", "float64", "", "Smallest of the repeats"),
        Field("high", "float64", "", "Largest of the repeats"),
        Field("repeats", "int64", "1", "How often it was measured", minimum=1),
        Field("least", "float64", "", "What the value must reach, if anything", nullable=True),
        Field("most", "float64", "", "What the value must not exceed, if anything", nullable=True),
        Field("met", "bool", "", "Whether it does; true where it is held to nothing"),
    ),
    description="Measured comparisons with peers, and limits of time and memory",
)  # fmt: skip
