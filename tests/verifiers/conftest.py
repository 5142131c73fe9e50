import os
import resource
from collections.abc import Iterator

import pytest


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """Opens so many files that those opened later have numbers from 1024, as in a process with many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this process may not open enough files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    opened = [os.open("/dev/null", os.O_RDONLY)]
    while opened[-1] < 1024:
        opened.append(os.open("/dev/null", os.O_RDONLY))
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
