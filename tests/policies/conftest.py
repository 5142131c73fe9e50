import ssl
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_certificates() -> Iterator[None]:
    """Clients do not read the machine's certificates: no server in the tests uses TLS, and this saves time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given, **named: None)
        yield
