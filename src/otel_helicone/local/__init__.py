"""A stand-in for Helicone on a developer's own machine: gateway, store and session trees.

Needs the extra ``local``. Nothing else in the library imports this package.
"""
