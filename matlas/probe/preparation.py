"""From raw columns to a design matrix, by what the training rows of a fold say and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

from matlas.errors import DataError
from matlas.probe.selection import DescriptorSelector
from matlas.represent import finite_matrix


class Encoder(Protocol):
    """What can learn a latent space from rows; a scikit-learn transformer or anything like one."""

    def fit(self, X: np.ndarray, groups: np.ndarray) -> object: ...

    def transform(self, X: np.ndarray) -> np.ndarray: ...


@dataclass
class Block:
    """Fitted steps of one part, in order; None for a step that the part lacks."""

    selector: DescriptorSelector | None
    encoder: Encoder | None
    scaler: StandardScaler


class Preparation:
    """A design matrix of parts beside each other: one part for a single view, descriptors and z for a grey box.

    parts : each a mapping with
      columns : slice or (p,) positions of its columns in the wide raw matrix; not needed with codes that are given;
      select : None, or n_features and max_correlation of a `DescriptorSelector`;
      encoder : None; an unfitted Encoder, fitted anew in each fold after the selection; or codes made outside: an
        (n, d) array in the order of the rows or, as they must come from an encoder that has not seen the test rows, one
        such array for each fold, by its name.
    Each part is standardised at the end. Every step is fitted on the training rows alone. `blocks_` : the fitted parts.
    """

    def __init__(self, parts: Sequence[Mapping]):
        self.parts = parts

    def fit(self, X: np.ndarray, train: np.ndarray, groups: np.ndarray, fold: str | None = None) -> Preparation:
        """X : (n, p) raw matrix; train : (n,) bool, the training rows; groups : (n,) group of each row, for encoders
        that draw validation rows of their own; fold : its name, which picks codes.

        Raises DataError for NaN and infinity among the columns of a part, codes that lack the fold or have other rows,
        and as DescriptorSelector does.
        """
        if not train.any():
            raise DataError("no training rows to prepare features by", where=f"fold {fold}")
        self.blocks_, self._fold = [], fold
        for part in self.parts:
            block = Block(None, None, StandardScaler())
            rows = self._raw(part, X)[train]
            if part.get("select"):
                block.selector = DescriptorSelector(**part["select"])
                rows = block.selector.fit_transform(rows)
            if _learns(part.get("encoder")):
                block.encoder = clone(part["encoder"], safe=False)
                block.encoder.fit(rows, groups=groups[train])
                rows = finite_matrix(block.encoder.transform(rows), "codes of an encoder")
            block.scaler.fit(rows)
            self.blocks_.append(block)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """(n, q) design matrix of all rows of X (n, p), the one that `fit` was given."""
        return np.hstack([self._block(part, block, X) for part, block in zip(self.parts, self.blocks_, strict=True)])

    def _block(self, part: Mapping, block: Block, X: np.ndarray) -> np.ndarray:
        rows = self._raw(part, X)
        if block.selector is not None:
            rows = block.selector.transform(rows)
        if block.encoder is not None:
            rows = finite_matrix(block.encoder.transform(rows), "codes of an encoder")
        return block.scaler.transform(rows)

    def _raw(self, part: Mapping, X: np.ndarray) -> np.ndarray:
        """The part's raw columns, or the codes that stand in their place."""
        codes = part.get("encoder")
        if codes is None or _learns(codes):
            return finite_matrix(X[:, part["columns"]], "features of a part")
        if isinstance(codes, Mapping):
            if self._fold not in codes:
                raise DataError("codes lack a fold", expected=self._fold, found=sorted(codes))
            codes = codes[self._fold]
        if len(codes) != len(X):
            raise DataError("codes have other rows than the features", expected=len(X), found=len(codes))
        return finite_matrix(codes, "codes of a part")


def _learns(encoder: object) -> bool:
    return hasattr(encoder, "fit")
