"""The tables of the report: what they hold, how they are written."""
