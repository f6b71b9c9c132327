"""One cohort per folder: how its files lie on disk and what they mean."""
