"""Working memory that stays with the process from one step to the next."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of glibc's malloc.h


def keep_memory() -> bool:
    """Tells the C library to hand out freed memory again instead of returning it to the operating
    system.

    A compiled program takes its working memory in one piece and frees it when it ends. The C
    library asks the system for each large piece anew, and the system clears it page by page, at
    every training step. Kept pieces cost nothing; in exchange the process occupies its peak until
    it ends. To be called before the first computation: a thread that already has memory of its own
    goes on using it.

    Returns:
      Whether it took effect; not so where the C library is not glibc.
    """
    # None looks in this process, whatever its C library is called; musl has no mallopt
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # no pieces by mmap, nothing given back, and one arena: a piece freed in any thread serves all
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1))
    # a list and no generator: each setting is made, whatever the one before returned
    return all([mallopt(name, value) == 1 for name, value in settings])
