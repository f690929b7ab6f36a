"""Work in threads with its results in order, and how long it will still take."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

log = logging.getLogger(__name__)

_LOG_EVERY_S = 10.0

Item, Result = TypeVar("Item"), TypeVar("Result")


class Progress:
    """Says in the log, every few seconds, how many of `total` are done and about how long the rest will take.

    what : of what, as "images read"; verb : what has become of them.
    """

    def __init__(self, what: str, total: int, verb: str = " done"):
        self.what, self.total, self.verb = what, total, verb
        self.begun = self.told = time.monotonic()

    def reached(self, done: int, share: float | None = None) -> None:
        """share : of the work, where it isn't done / total."""
        now = time.monotonic()
        if now - self.told >= _LOG_EVERY_S and done < self.total:
            self.told = now
            left = (now - self.begun) * (1 / (share or done / self.total) - 1)
            log.info("%s: %d of %d%s, about %.0f s left", self.what, done, self.total, self.verb, left)

    def finished(self, where: str = "") -> float:
        """The seconds that it took. where : said at the end of the line."""
        took = time.monotonic() - self.begun
        log.info("%s: %d of %d%s in %.1f s%s", self.what, self.total, self.total, self.verb, took, where)
        return took


def blas_threads() -> int:
    """The current limit of threads of BLAS."""
    return max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], *, threads: int, ahead: int
) -> Iterator[Result]:
    """Results of `function` over `items`, in order, computed in threads at most `ahead` items before they are asked
    for. An error in one ends it: what has not begun is dropped. Each worker has one OpenMP thread."""
    # the OpenMP limit belongs to a thread: set it in each worker
    pool = ThreadPoolExecutor(threads, initializer=threadpool_limits, initargs=(1, "openmp"))
    remaining, running = iter(items), deque()
    try:
        running.extend(pool.submit(function, item) for item in islice(remaining, ahead))
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(function, item) for item in islice(remaining, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def map_in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    what: str,
    threads: int | None = None,
    ahead: int | None = None,
) -> Iterator[Result]:
    """`in_order`, with how many of `what` are done and the time left in the log.

    threads : defaults to the current BLAS limit; ahead : defaults to twice as many, so that few results wait.
    """
    threads = blas_threads() if threads is None else threads
    progress = Progress(what, len(items))
    with closing(in_order(function, items, threads=threads, ahead=ahead or 2 * threads)) as results:
        for done, result in enumerate(results, 1):
            yield result
            progress.reached(done)
    progress.finished()


def map_in_threads(
    function: Callable[[Item], Result], items: Sequence[Item], *, what: str, threads: int | None = None
) -> Iterator[Result]:
    """`map_in_order` for computations whose results are small: all are begun at once, and each call runs with one BLAS
    and one OpenMP thread, so that results don't depend on `threads`."""
    threads = blas_threads() if threads is None else threads  # before the limit is set
    with threadpool_limits(1):
        yield from map_in_order(function, items, what=what, threads=threads, ahead=len(items))
