"""Study configurations: one file per cohort and purpose, each with `get_config()`."""
