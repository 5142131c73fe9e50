"""OpenEnv both ways: the environment of a server (`openenv:URL`), and the server of `tenfold serve`."""

from .environment import OpenEnv

__all__ = ["OpenEnv"]
