"""Autoencoders with scikit-learn's fit and transform; float64 in and out, float32 inside."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from matlas.autoencoders.collapse import active_dimensions
from matlas.autoencoders.feed import Feed, ResidentRows, feed_of
from matlas.autoencoders.networks import build_network, divergence
from matlas.autoencoders.ranges import TrainingRanges
from matlas.autoencoders.training import CHECKPOINT_EVERY_S, train
from matlas.device import choose_device, device_title
from matlas.encoders import Encoder, training_matrix
from matlas.errors import ConfigError, DataError
from matlas.represent import finite_matrix
from matlas.rows import Rows

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 16_384


class Autoencoder(Encoder):
    """A network that rebuilds rows from a narrow code.

    kind : "plain", "linear" (no activations), "variational" or "denoising". layers : widths down to the code, mirrored
    by the decoder: (32, 10) makes p-32-10-32-p. activation : "relu", "gelu", "silu" or "tanh".
    beta : of "variational", twice the variance of the noise that the decoder assumes on each standardised column
    (networks.VariationalNetwork). A direction of the code pays only if it explains more than beta / 2 (Lucas et al.
    2019, arXiv:1911.02469). 0.1 takes 5 % of the variance for noise, about what a code of ten leaves of a table of
    correlated features; 1 would take half. noise : of "denoising", standard deviation of the noise on standardised
    input. epochs, batch_size, learning_rate, patience (None: no early stopping), mixed_precision, checkpoint,
    checkpoint_every (s) : as `training.train` takes them. validation_share : of the rows, held out for early stopping
    (0: none) unless `fit` is given some. standardise : False leaves columns in their own units. device : "auto", "cpu"
    or "cuda". Results are the same for the same random_state, machine and number of threads.

    After `fit`: history_ (training.Training.history), best_epoch_, stopped_early_, n_train_, n_validation_, mean_ and
    scale_ (of training rows only), n_features_in_, code_width_, active_units_ (collapse.active_dimensions of the
    training rows), ranges_ (ranges.TrainingRanges), network_ (a torch module) and device_ (what it was trained on).
    """

    def __init__(
        self,
        kind="plain",
        layers=(32, 10),
        activation="relu",
        beta=0.1,
        noise=0.1,
        epochs=300,
        batch_size=256,
        learning_rate=1e-3,
        patience=30,
        validation_share=0.1,
        standardise=True,
        random_state=0,
        device="auto",
        mixed_precision=False,
        checkpoint=None,
        checkpoint_every=CHECKPOINT_EVERY_S,
    ):
        self.kind, self.layers, self.activation = kind, layers, activation
        self.beta, self.noise = beta, noise
        self.epochs, self.batch_size, self.learning_rate, self.patience = epochs, batch_size, learning_rate, patience
        self.validation_share, self.standardise, self.random_state = validation_share, standardise, random_state
        self.device, self.mixed_precision = device, mixed_precision
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every

    def fit(self, X, y=None, *, validation=None, groups=None):
        """Train on rows X (n, p); y is ignored.

        validation : (m, p) rows for early stopping; X is then used whole. Otherwise `validation_share` of X is drawn
        for it: whole groups, where groups (n,) names one for each row.
        Raises ConfigError for settings out of range or layers that don't fit; DataError for NaN, fewer than 2 rows,
        no validation rows or ones of another width, groups that can't be parted, and a training that diverges.
        """
        self._check_settings()
        rows, held_out = training_matrix(X), None
        if validation is not None:
            held_out = self._of_width(finite_matrix(validation, "validation rows"), rows.shape[1], "validation rows")
            if not len(held_out):
                raise DataError("no validation rows", do="give some, or set validation_share to 0 instead")
        elif self.validation_share:
            chosen = _held_out(len(rows), groups, self.validation_share, self.random_state)
            rows, held_out = rows[~chosen], rows[chosen]
        prepared, device = self._learn_scale(rows), choose_device(self.device)

        def on_device(values: np.ndarray) -> ResidentRows:
            return ResidentRows(torch.tensor(values, dtype=torch.float32, device=device))

        self._train(on_device(prepared), None if held_out is None else on_device((held_out - self.mean_) / self.scale_))
        self._describe([rows], len(rows))
        return self

    def _fit_batches(
        self, rows: Rows, train: np.ndarray, validation: np.ndarray | None, groups: np.ndarray | None
    ) -> Autoencoder:
        self._check_settings()
        if validation is None and self.validation_share:
            chosen = _held_out(len(train), groups, self.validation_share, self.random_state)
            train, validation = train[~chosen], train[chosen]
        device = choose_device(self.device)
        self._learn_scale_of(self._checked(rows, train))
        with _scratch(self.checkpoint) as folder:

            def feed(which: np.ndarray, name: str) -> Feed:
                prepared = ((batch - self.mean_) / self.scale_ for batch in self._checked(rows, which))
                shape = (len(which), rows.shape[1])
                return feed_of(prepared, shape, device, folder / name, self.random_state)

            self._train(feed(train, "train"), None if validation is None else feed(validation, "validation"))
        self._describe(rows.batches(train), len(train))
        return self

    def _train(self, rows: Feed, held_out: Feed | None) -> None:
        network = build_network(
            self.kind, self.n_features_in_, self.layers, activation=self.activation, beta=self.beta, noise=self.noise,
            random_state=self.random_state,
        ).to(rows.device)  # fmt: skip
        self.n_train_, self.n_validation_ = len(rows), 0 if held_out is None else len(held_out)
        training = train(
            network, rows, held_out, epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            patience=self.patience, random_state=self.random_state, mixed_precision=self.mixed_precision,
            checkpoint=self.checkpoint, checkpoint_every=self.checkpoint_every,
        )  # fmt: skip
        self.network_, self.device_, self.code_width_ = network, device_title(rows.device), self.layers[-1]
        self.history_, self.best_epoch_ = training.history, training.best_epoch
        self.stopped_early_ = training.stopped_early

    def _describe(self, batches: Iterable[np.ndarray], n: int) -> None:
        """Where the n training rows lie, and which units of the code they use."""
        codes, errors, start = np.empty((n, self.code_width_)), np.empty(n), 0
        low, high = np.full(self.n_features_in_, np.inf), np.full(self.n_features_in_, -np.inf)
        for rows in batches:
            here = slice(start, start := start + len(rows))
            codes[here], errors[here] = self.transform(rows), self.reconstruction_error(rows)
            np.minimum(low, rows.min(axis=0), out=low)
            np.maximum(high, rows.max(axis=0), out=high)
        self.active_units_ = int(active_dimensions(codes, self.kind).sum())
        self.ranges_ = TrainingRanges.of(low, high, codes, errors)

    def divergence(self, X) -> np.ndarray:
        """(n, d) KL of the posterior of each row and dimension to N(0, 1), in nats, of a variational autoencoder.

        Raises ConfigError for another kind.
        """
        if self.kind != "variational":
            raise ConfigError("only a variational autoencoder has a posterior", found=f"a {self.kind} one")
        rows = self._prepared(X)
        return self._computed(lambda part: divergence(*self.network_.posterior(part)), rows, self.code_width_)

    def _encode(self, prepared: np.ndarray) -> np.ndarray:
        return self._computed(self.network_.encode, prepared, self.code_width_)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        return self._computed(self.network_.decode, codes, self.n_features_in_)

    def _computed(self, function: Callable, rows: np.ndarray, width: int) -> np.ndarray:
        device = next(self.network_.parameters()).device
        result = np.empty((len(rows), width))
        with torch.inference_mode():
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = torch.tensor(rows[start : start + _ROWS_AT_ONCE], dtype=torch.float32, device=device)
                result[start : start + _ROWS_AT_ONCE] = function(part).cpu().numpy()
        if not np.isfinite(result).all():
            bad = np.flatnonzero(~np.isfinite(result).all(axis=1))
            raise DataError(
                "values overflow float32", where=f"{len(bad)} of {len(rows)} rows, first {bad[0]}",
                do="check the units of these rows: they are far outside what the autoencoder was trained on",
            )  # fmt: skip
        return result

    def _check_settings(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 1), ("random_state", 0)):
            value = getattr(self, name)
            if name == "patience" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ConfigError(f"{name} out of range", expected=f"a whole number of at least {least}", found=value)
        if not self.learning_rate > 0:
            raise ConfigError("learning_rate out of range", expected="above 0", found=self.learning_rate)
        for name in ("beta", "noise"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} out of range", expected="at least 0", found=getattr(self, name))
        if not 0 <= self.validation_share < 1:
            raise ConfigError("validation_share out of range", expected="0 to below 1", found=self.validation_share)


@contextmanager
def _scratch(checkpoint: str | PathLike | None) -> Iterator[Path]:
    """A folder for rows that are streamed. Beside a checkpoint it has a name of its own, so that the training that goes
    on after a kill finds what was left, and removes it."""
    if checkpoint is None:
        with TemporaryDirectory() as folder:
            yield Path(folder)
        return
    folder = Path(f"{checkpoint}-rows")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _held_out(n: int, groups: np.ndarray | None, share: float, random_state: int) -> np.ndarray:
    """Which of n rows early stopping looks at: (n,) bool. Groups in random order, until `share` of the rows is reached;
    at least one group on each side."""
    names = np.arange(n) if groups is None else np.asarray(groups)
    if names.shape != (n,):
        raise DataError("groups don't fit the rows", expected=f"one for each of {n} rows", found=f"shape {names.shape}")
    distinct, of_row, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        raise DataError(
            "one group can't be parted for early stopping", expected="at least 2 groups", found=len(distinct),
            do="give fit a validation set, or set validation_share to 0",
        )  # fmt: skip
    order = np.random.default_rng(random_state).permutation(len(distinct))
    reached = np.searchsorted(np.cumsum(sizes[order]), round(share * n)) + 1
    return np.isin(of_row, order[: min(reached, len(distinct) - 1)])
