"""Launchers and measurements around the package."""
