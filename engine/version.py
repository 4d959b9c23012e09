"""The product's version: of the installed distribution, so that it is written in one place."""

from importlib.metadata import version

VERSION = version("platform-ops")
