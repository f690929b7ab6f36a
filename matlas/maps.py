"""2-D maps of a space, and how far they can be trusted. A map is a picture, never evidence for groups."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.manifold import TSNE, trustworthiness

from matlas.errors import DataError

NEIGHBOURS = 5  # whose ranks are compared, scikit-learn's default
_ROWS_MAX = 5000  # trustworthiness needs all distances among its rows


def tsne(space: np.ndarray, *, perplexity: float, init: str, random_state: int) -> np.ndarray:
    """t-SNE of space (n, d): (n, 2) places without unit. Distances between groups and their sizes mean nothing.

    Raises DataError for fewer rows than three perplexities. Source: van der Maaten & Hinton 2008; scikit-learn's TSNE.
    """
    if len(space) < 3 * perplexity:
        raise DataError(
            "too few rows for t-SNE", expected=f"at least {3 * perplexity:g} for a perplexity of {perplexity:g}",
            found=len(space), do="use a map with a smaller perplexity, or none",
        )  # fmt: skip
    return TSNE(perplexity=perplexity, init=init, random_state=random_state).fit_transform(space).astype(np.float64)


def umap(space: np.ndarray, *, n_neighbors: int, min_dist: float, random_state: int) -> np.ndarray:
    """UMAP of space (n, d): (n, 2) places without unit.

    Raises DataError for no more rows than neighbours. Source: McInnes, Healy & Melville 2018, arXiv:1802.03426.
    """
    from umap import UMAP  # compiles for seconds

    if len(space) <= n_neighbors:
        raise DataError(
            "too few rows for UMAP", expected=f"more than {n_neighbors} neighbours", found=len(space),
            do="use a map with fewer neighbours, or none",
        )  # fmt: skip
    model = UMAP(n_neighbors=n_neighbors, min_dist=min_dist, random_state=random_state, n_jobs=1)
    with warnings.catch_warnings():
        # the seed asks for one thread, which umap says each time
        warnings.filterwarnings("ignore", message="n_jobs value")
        return model.fit_transform(space).astype(np.float64)


def trustworthiness_of(space: np.ndarray, places: np.ndarray, seed: int) -> float:
    """Trustworthiness of places (n, 2) as a map of space (n, d), 0 to 1: neighbours in the map that are far apart in
    the space lower it. Of more than 5,000 rows a random sample is taken.

    Source: Venna & Kaski 2001; scikit-learn's trustworthiness with 5 neighbours.
    """
    rows = np.arange(len(space))
    if len(rows) > _ROWS_MAX:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _ROWS_MAX, replace=False))
    return float(trustworthiness(space[rows], places[rows], n_neighbors=min(NEIGHBOURS, (len(rows) - 1) // 2)))


MAPS = {"tsne": tsne, "umap": umap}
