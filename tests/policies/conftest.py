import ssl
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_certificates() -> Iterator[None]:
    """Clients do not read the certificates that the machine trusts: no server here speaks TLS, and a test takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", lambda *given, **named: None)
        yield
