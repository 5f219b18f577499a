"""The version of this program. The build and the bill of materials read it here."""

__version__ = "0.1.0"
