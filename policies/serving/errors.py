"""Errors of requests, in the form of OpenAI's API."""

from collections.abc import Mapping

from ...texts import without_surrogates

Body = Mapping[str, object]
"""A JSON object."""

TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
"""The `type` of an error by its status. Other client errors are an `invalid_request_error`, faults a `server_error`."""


class RequestError(Exception):
    """A request that gets no answer, with the HTTP status of the error."""

    def __init__(self, message: str, status: int = 400, param: str | None = None, code: str | None = None):
        """Creates the error.

        Args:
            message: what is wrong.
            status: HTTP status.
            param: the parameter of the request that the error is about.
            code: OpenAI's name for the error.
        """
        super().__init__(message)
        self.message, self.status, self.code = without_surrogates(message), status, code
        self.param = None if param is None else without_surrogates(param)

    @property
    def body(self) -> Body:
        """The body of the reply."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def not_supported(name: str, remedy: str = "omit it") -> RequestError:
    """Returns the error for a parameter that this server does not have, and that would change the reply."""
    return RequestError(f"the parameter {name} is not supported: {remedy}", 400, name, "unsupported_parameter")
