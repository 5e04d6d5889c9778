"""Memory that is used again: what one step frees, the next one gets.

Fresh memory is dear. The system hands it out in pages of 4 kB and clears each when it is first
touched, and a training step of a small U-Net would touch a hundred thousand of them. The C library
gives large blocks back to the system as soon as they are free and asks for them anew in the next
step; told not to, it keeps them.

With the environment variable ``MINISEGNET_KEEP_MEMORY=0`` nothing is told: the process is then
smaller between its steps, and each step slower.
"""

from __future__ import annotations

import ctypes
import functools
import os

# The parameters of mallopt() in the GNU C library, by their numbers in its malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

#: Blocks up to this size are kept when they are free: 1 GiB.
_LARGEST_KEPT = 2**30


@functools.cache
def keep_freed_memory() -> bool:
    """Tell the C library, once in the life of the process, to keep what is freed.

    Returns
    -------
    bool
        Whether it will: only the GNU C library understands, and only if the environment allows.

    Examples
    --------
    >>> keep_freed_memory() in (True, False)
    True
    """
    if os.environ.get("MINISEGNET_KEEP_MEMORY") == "0" or not _is_glibc():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    told = [mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT), mallopt(_TRIM_THRESHOLD, 2**31 - 1)]
    return told == [1, 1]


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
