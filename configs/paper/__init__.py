"""The two cohorts of the paper with its settings."""
