"""The console script `fairrecon`."""
