"""Speed against the tools of the field: `python -m experiments.benchmarks [--only NAME]` prints one
JSON line per benchmark.
"""
