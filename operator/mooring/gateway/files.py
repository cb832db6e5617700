"""How many files the process may have open: each connection is one."""

import logging
import resource

log = logging.getLogger(__name__)

# Far more than there are connections; where there is no limit at all, a table of files must not grow without one.
MOST_FILES = 65_536


def raise_files_limit() -> None:
    """Take as many as the system lets us have. Many begin with 1,024, which as many connections use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as problem:
        log.warning("the limit of open files stays at %d: %s", soft, problem)
