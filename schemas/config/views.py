"""config/views.yaml: how entities are described by numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.config.base import Model, Name

Statistic = Literal["minimum", "maximum", "range", "mean", "avg_dev", "std_dev", "mode"]


class ElementFractionsView(Model):
    """One column an element: its atomic fraction."""

    kind: Literal["composition"]
    features: Literal["element_fractions"]
    description: str = ""


class ElementStatisticsView(Model):
    """Statistics of an element-property table over each composition."""

    kind: Literal["composition"]
    features: Literal["element_statistics"]
    table: Literal["magpie", "deml", "matscholar_el", "megnet_el"]
    statistics: list[Statistic] = Field(min_length=1)
    description: str = ""


class JoinedView(Model):
    """Features of other views beside columns of the dataset; joined on reading, never stored twice."""

    kind: Literal["joined"]
    of: list[Name] = Field(min_length=1)
    columns: list[Name] = []
    description: str = ""


class GeometryView(Model):
    """Symmetry, packing, Voronoi neighbourhoods (Ward et al. 2017) and the radial distribution function up to `cutoff`
    (Å) in bins of `bin_size` of each ordered crystal. Crystals that take longer than `seconds_per_crystal` are left
    out, with those that have no geometry (partial occupancy); more than `max_failure_share` of them stop the run."""

    kind: Literal["crystal"]
    features: Literal["geometry"]
    table: Literal["magpie"] = "magpie"
    cutoff: float = Field(default=10.0, gt=0)
    bin_size: float = Field(default=0.5, gt=0)
    seconds_per_crystal: float = Field(default=10.0, gt=0)
    max_failure_share: float = Field(default=0.01, ge=0, le=1)
    description: str = ""


class SelectedView(Model):
    """`n_features` columns of other views, chosen on the training rows of `split` alone and without any target:
    constants and columns that repeat an earlier one (|ρ| > `max_correlation`) are left out, the rest are taken in the
    order in which they add most to what is explained (pivoted Cholesky factors of the correlation matrix)."""

    kind: Literal["selected"]
    of: list[Name] = Field(min_length=1)
    n_features: int = Field(ge=2)
    max_correlation: float = Field(default=0.95, gt=0, le=1)
    split: Name
    description: str = ""


class PixelsView(Model):
    """Every pixel standardised over the images, then principal components of all pixels. `size` (width, height)
    resizes the images first, which is needed where they differ in size."""

    kind: Literal["image"]
    features: Literal["pixels"]
    n_components: int = Field(default=50, ge=2)
    size: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    random_state: int = 0
    description: str = ""


class NetworkView(Model):
    """The pooled output of a frozen network without its head. `weights` is the source that holds them, `format` how
    they are stored; the pooled outputs of the earlier stages are views too, named <view>_stage1 and so on."""

    kind: Literal["image"]
    features: Literal["network"]
    network: Literal["resnet18"]
    weights: Name
    format: Literal["torchvision", "product_quantised"]
    batch_size: int = Field(default=32, ge=1)
    description: str = ""


class StageView(Model):
    """The pooled output of an earlier stage of a network view; made by loading, never written in a file."""

    kind: Literal["image"]
    features: Literal["stage"]
    of: Name
    stage: int
    description: str = ""


class SpectrumView(Model):
    """The spectrum of each pixel, one column a channel, after the `steps` of its preparation, each the name of a step
    and its arguments (docs/add-a-study-of-cubes.md): `[{crop: {low: 1, high: 10}}, {anscombe: {}}]`."""

    kind: Literal["cube"]
    features: Literal["spectrum"]
    steps: list[dict[str, dict[str, float | int | str] | None]] = []
    description: str = ""


NETWORK_STAGES = {"resnet18": 4}
CompositionView = Annotated[ElementFractionsView | ElementStatisticsView, Field(discriminator="features")]
ImageView = Annotated[PixelsView | NetworkView, Field(discriminator="features")]
View = Annotated[
    CompositionView | ImageView | GeometryView | SpectrumView | SelectedView | JoinedView, Field(discriminator="kind")
]
