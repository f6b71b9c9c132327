"""The rows of Dice and of image metrics straight from the public functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from fairrecon_jax import inference, metrics
from fairrecon_jax.inference import GroupTest
from fairrecon_jax.inference.equal_changes import evaluate
from tests.support.one_engine_images import (
    CONVENTIONS,
    SEED,
    Images,
    Key,
    Row,
    codes,
    column,
    group_number,
    lone,
    null_name,
    versions,
)


class Tested(NamedTuple):
    """One test that waits for its family.

    Attributes:
      gaps: keys of the rows of the gap.
      groups: by place (label, group) the key of the row of a group.
      test: of one cell.
      chance: the diagnosis is at chance.
      decisions: changes are of decisions.
    """

    gaps: list[Key]
    groups: dict[tuple[int, int], Key]
    test: GroupTest
    chance: bool
    decisions: bool


class Values:
    """The part of `one_engine.Direct` that is about values without a decision."""

    def _values(self, where: Key, images: Images, metric: str) -> None:
        """Dice: means, gaps, rows of groups."""
        for name, code, changes, counts in self._means(where, images, metric):
            if name == "" or not np.any(code >= 0):
                continue
            test = evaluate(self._draw(changes, name), alpha=self.options.alpha)
            nulls = self._mean_nulls(images, changes, name)
            published = inference.published_means_tests(
                images.original[None],
                images.reconstructed[None],
                code,
                SEED,
                groups=group_number(name),
                replicates=20,
            )
            for gap, formula in (
                ("ser", metrics.ser_from_means),
                ("delta_dice", metrics.delta_dice_from_means),
            ):
                keys = []
                for convention in CONVENTIONS:
                    mask = np.isin(changes.counted[0][0, 0], (0, 4))
                    mask = mask if convention == "worst_case_estimable" else None
                    pair = [
                        float(formula(v[0, 0], None, mask, convention).value)
                        for v in (changes.original, changes.reconstructed)
                    ]
                    key = (*where, name, gap, convention, "", "")
                    rows = [{**lone(v), **counts} for v in (*pair, pair[1] - pair[0])]
                    self.rows |= versions(key, *rows)
                    self._null(key, [null[null_name(gap, convention)] for null in nulls])
                    keys += [(*key, "change")] * (convention != "mean")
                one = inference.Published(*(part[0] for part in published[gap]))
                self._recipe((*where, name, gap, "mean", "", "", "change"), one)
                per_group = {}
                if gap == "ser":
                    per_group = self._group_rows(
                        (*where, name), test, changes, (("dice", ""),), "gap_{}"
                    )
                self._queue(gap, Tested(keys, per_group, inference.one_cell(test, 0), False, False))
            self._worst((*where, name), changes, (("dice", ""),), counts)

    def _means(self, where: Key, images: Images, metric: str) -> Iterator[tuple]:
        """Means of every group as rows; yields each attribute with its changes and counts."""
        for name, code in images.code.items():
            if metric == "psnr" and not np.any(code >= 0):
                continue
            groups = group_number(name)
            changes = inference.value_changes(
                images.original,
                images.reconstructed,
                code,
                images.patient,
                groups=groups,
                **self.given,
            )
            tables = changes.tables
            known = np.isfinite(images.original) & np.isfinite(images.reconstructed)
            moved = known & (images.original != images.reconstructed)
            blank = metric == "psnr"

            def count(inside, known=known, moved=moved, blank=blank) -> Row:
                row = {"n": float(np.sum(known & inside))}
                row["n_patients"] = float(len(set(images.patient[known & inside])))
                return row if blank else {**row, "n_changed": float(np.sum(moved & inside))}

            for g in range(groups):
                unit = tables.group == g
                rows = [
                    column(
                        inference.mean_interval(
                            v[unit, 0, 0], tables.images[unit, 0, 0], self.options.alpha
                        )
                    )
                    for v in (changes.before, changes.after, tables.change)
                ]
                key = (*where, name, metric, "", self._name(name, g), "")
                found = versions(key, *({**row, **count(code == g)} for row in rows))
                if blank:
                    found = {k: v for k, v in found.items() if k[-1] == "reconstructed"}
                self.rows |= found
                if name == "":
                    self._everyone_test(metric, (*key, "change"), tables, 0)
            yield name, code, changes, count(code >= 0)

    def _quality(self, where: Key, frame: pd.DataFrame) -> None:
        """PSNR of reconstructions: means and gaps, without a test."""
        psnr = frame["psnr"].to_numpy(float)
        psnr = np.where(np.isfinite(psnr), psnr, np.nan)
        images = Images(psnr, psnr, None, frame["patient_id"].to_numpy(str), codes(frame))
        for name, _, changes, counts in self._means(where, images, "psnr"):
            nulls = self._mean_nulls(images, changes, name) if name else []
            for convention in CONVENTIONS if name else ():
                mask = np.isin(changes.counted[0][0, 0], (0, 4))
                mask = mask if convention == "worst_case_estimable" else None
                after = changes.reconstructed[0, 0]
                value = float(metrics.gap_from_values(after, None, mask, convention).value)
                key = (*where, name, "gap_psnr", convention, "", "", "reconstructed")
                null = nulls[1][null_name("gap_psnr", convention)]
                beside = {"permutation_null": float(null.mean), "p_value": float(null.p_value)}
                self.rows[key] = {**lone(value), **counts, **beside}
