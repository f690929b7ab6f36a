"""A limit on the time that one crystal may take."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeLimitExceeded(Exception):
    """What was to be done took longer than it may."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the body when it takes longer than `seconds` (> 0).

    By SIGALRM, so in the main thread only; a call into compiled code ends before it is interrupted. A timer that runs
    already is put back with the time that it then has left.
    """

    def stop(signum, frame):
        raise TimeLimitExceeded(f"took longer than {seconds:g} s")

    before, begun = signal.getitimer(signal.ITIMER_REAL), time.monotonic()
    handler = signal.signal(signal.SIGALRM, stop)
    try:
        # again and again, as an alarm that falls into a destructor is lost; but not while it is being put away
        signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 1.0))
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:  # also when the last alarm came just now
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            if before[0]:
                left = before[0] - (time.monotonic() - begun)
                signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), before[1])
