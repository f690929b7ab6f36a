"""Silhouettes of many labelings from one pass over the distances.

A sweep over K = 2…12 with 20 seeds needs 220 silhouettes of the same rows. scikit-learn computes all distances anew for
each and sums them row by row with `bincount`; here each block of distances is computed once and summed into the
clusters of *all* labelings by one matrix product with their indicator columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from matlas.errors import DataError
from matlas.represent import finite_matrix
from matlas.threads import map_in_threads

_ROWS_MAX = 256  # measured on 5205 x 10: larger blocks leave the cache, smaller ones starve the matrix product


def silhouettes(
    X: np.ndarray, labelings: np.ndarray, *, rows: int | None = None, random_state: int = 0, **options
) -> np.ndarray:
    """Mean silhouette of each labeling: (m,) values in [-1, 1].

    rows : of how many rows, drawn at random where there are more; each against all n, so that the mean is that of all
    rows but for the draw (scikit-learn's sample_size leaves out the other rows altogether). None: of all.
    A labeling of only one cluster, or of as many clusters as rows, has no silhouette and gives NaN (scikit-learn
    raises). Other arguments, errors and exactness as in `silhouette_samples_many`.
    """
    drawn = None
    if rows is not None and rows < len(X):
        drawn = np.sort(np.random.default_rng(random_state).choice(len(X), rows, replace=False))
    return silhouette_samples_many(X, labelings, of=drawn, **options).mean(axis=1)


def silhouette_samples_many(
    X: np.ndarray,
    labelings: np.ndarray,
    *,
    of: np.ndarray | None = None,
    block_mb: float = 64,
    clusters_mb: float = 256,
    threads: int | None = None,
) -> np.ndarray:
    """Silhouette of rows under each labeling: (m, s) values; NaN for a labeling without a silhouette.

    X : (n, d) finite rows; labelings : (n, m) integer cluster names, one labeling a column; of : (s,) positions of the
    rows whose silhouettes are wanted, all by default; block_mb : size of the block of distances each thread holds;
    clusters_mb : size of the indicator columns (8 n bytes a cluster) that are held at once, one labeling's at least:
    more labelings take more passes; threads : defaults to the current BLAS limit. Beyond these, memory is 8 s bytes a
    labeling; the n x n distances never exist at once.
    A row alone in its cluster gets 0, as does one whose distances are all zero.

    Exactness: distances are sqrt(|x|² - 2xy + |y|²) in float64, the expansion scikit-learn uses, so means agree with
    its `silhouette_score` to 1e-12. Both lose digits where rows lie much closer together than to the origin: centre X
    first (principal components are centred). Labels are compared by partition, so their names do not matter.
    Raises DataError for non-finite X and for labelings that are not (n, m) integers.
    Source: Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7.
    """
    X = finite_matrix(X, "rows")
    labelings = label_columns(labelings, len(X))
    n = len(X)
    of = np.arange(n) if of is None else of
    canonical = [_by_first_appearance(column) for column in labelings.T]
    place: dict[bytes, int] = {}  # seeds often agree: equal partitions are summed once
    position = [place.setdefault(labels.tobytes(), len(place)) for labels in canonical]
    distinct = [canonical[position.index(i)] for i in range(len(place))]
    scored = [i for i, labels in enumerate(distinct) if 2 <= labels.max() + 1 <= n - 1]

    result = np.full((len(distinct), len(of)), np.nan)
    rows = int(np.clip(block_mb * 2**20 / (8 * n), 1, _ROWS_MAX))
    blocks = [of[start : start + rows] for start in range(0, len(of), rows)]
    for some in _held_at_once([distinct[i] for i in scored], int(clusters_mb * 2**20 / (8 * n))):
        here = [scored[i] for i in some]
        result[here] = _silhouettes_of(blocks, X, [distinct[i] for i in here], threads)
    return result[position]


def _silhouettes_of(
    blocks: Sequence[np.ndarray], X: np.ndarray, labelings: Sequence[np.ndarray], threads: int | None
) -> np.ndarray:
    """(m, s) silhouettes of the rows that stand in blocks, under m labelings that count from 0."""
    indicator = one_hot(labelings)
    ends = np.cumsum([labels.max() + 1 for labels in labelings])
    sizes = indicator.sum(axis=0)
    norms = np.einsum("ij,ij->i", X, X)
    transposed = np.ascontiguousarray(X.T)

    def score(wanted: np.ndarray) -> np.ndarray:
        # the order of these operations is scikit-learn's, so that rounding is the same
        distance = (-2 * X[wanted]) @ transposed
        distance += norms[wanted, None]
        distance += norms
        np.maximum(distance, 0, out=distance)
        np.sqrt(distance, out=distance)
        distance[np.arange(len(wanted)), wanted] = 0.0
        sums = distance @ indicator
        found = np.empty((len(labelings), len(wanted)))
        for i, (labels, end) in enumerate(zip(labelings, ends, strict=True)):
            columns = slice(end - labels.max() - 1, end)
            found[i] = _silhouette(sums[:, columns], sizes[columns], labels[wanted])
        return found

    return np.concatenate(list(map_in_threads(score, blocks, what="silhouette blocks", threads=threads)), axis=1)


def _held_at_once(labelings: Sequence[np.ndarray], most: int) -> Iterator[list[int]]:
    """Positions of the labelings whose clusters are counted in one pass: at most `most` clusters, or one labeling."""
    some, held = [], 0
    for i, labels in enumerate(labelings):
        clusters = int(labels.max()) + 1
        if some and held + clusters > most:
            yield some
            some, held = [], 0
        some.append(i)
        held += clusters
    if some:
        yield some


def label_columns(labelings: np.ndarray, n_rows: int | None = None) -> np.ndarray:
    """`labelings` as (n, m) int64, one labeling a column; raises DataError when they are not that."""
    labelings = np.asarray(labelings)
    if labelings.ndim != 2 or not labelings.size or (n_rows is not None and len(labelings) != n_rows):
        expected = f"({'n' if n_rows is None else n_rows}, m)"
        raise DataError("labelings do not have one row an entity", expected=expected, found=labelings.shape)
    if labelings.dtype.kind not in "iu":
        raise DataError("labelings are not integers", expected="an integer dtype", found=labelings.dtype)
    return labelings.astype(np.int64)


def one_hot(labelings: Iterable[np.ndarray]) -> np.ndarray:
    """(n, sum of clusters) float64 indicator columns of labelings that count from 0, side by side."""
    return np.concatenate([np.eye(labels.max() + 1)[labels] for labels in labelings], axis=1)


def _by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """Clusters numbered 0, 1, … in the order in which rows mention them: equal for equal partitions."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _silhouette(sums: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Silhouettes of b rows from the (b, k) sums of their distances to the members of each cluster."""
    own = (np.arange(len(labels)), labels)
    means = sums / sizes
    means[own] = np.inf
    between = means.min(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0/0 in a cluster of one row, or among equal rows
        within = sums[own] / (sizes[labels] - 1)
        value = (between - within) / np.maximum(within, between)
    return np.nan_to_num(value)
