"""Writes a plug-in package with a new environment, from the package in `template/`."""

from .package import LICENCES as LICENCES
from .package import write as write
