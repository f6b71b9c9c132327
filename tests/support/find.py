"""Finding rows of the long tables, and the evaluated part of predictions."""

import numpy as np

AT = {"level": 1e4, "reconstructor": "unet", "mitigation": "none"}


def rows(table, **wanted):
    keep = np.ones(len(table), bool)
    for column, value in wanted.items():
        keep &= table[column].isin(value if isinstance(value, list) else [value]).to_numpy()
    return table[keep]


def one(table, **wanted):
    matches = rows(table, **wanted)
    assert len(matches) == 1, f"{len(matches)} rows for {wanted}"
    return matches.iloc[0]


def evaluated(table, task="edema", level=1e4):
    return table[(table["split"] == "test") & (table["level"] == level)].assign(
        y=lambda t: t[f"{task}__label"],
        o=lambda t: t[f"{task}__original"],
        r=lambda t: t[f"{task}__reconstructed"],
    )


def tau(performance, task="edema", version="original"):
    return one(performance, **AT, task=task, metric="threshold", version=version)["value"]
