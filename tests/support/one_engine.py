"""The numbers of an assessment straight from the public functions of `metrics` and `inference`: one
task, attribute and reconstructor at a time, without anything of `fairrecon_jax.assessment`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fairrecon_jax import inference, metrics
from fairrecon_jax.inference import Changes, GroupTest, PermutationNull
from fairrecon_jax.inference.equal_changes import Drawn, draw, evaluate
from tests.support.one_engine_images import (
    CONVENTIONS,
    DRAWS,
    LABELS,
    NAN,
    SEED,
    SPEC,
    TAU,
    Images,
    Key,
    Options,
    Row,
    decision_null,
    group_number,
    group_numbers,
    images_of,
    lone,
    patients_of,
    versions,
)
from tests.support.one_engine_values import Tested, Values


class Direct(Values):
    """Rows of one table and options, by key; families are adjusted at the end.

    Attributes:
      rows: by key.
    """

    def __init__(self, table: pd.DataFrame, options: Options) -> None:
        self.options, self.rows = options, {}
        self._families: dict[str, list[Tested]] = {}
        self._everyone: dict[str, list[tuple[Key, np.ndarray, float]]] = {}
        self.given = {"min_patients": options.min_patients}
        test = table[table["split"] == "test"]
        for reconstructor, frame in test.groupby("reconstructor"):
            frame = frame.sort_values("example_id")
            for task in SPEC.tasks:
                where = (str(reconstructor), task.name)
                if task.kind == "classification":
                    self._classification(where, images_of(frame, task.name))
                else:
                    self._values(where, patients_of(frame, task.name), "dice")
            self._quality((str(reconstructor), ""), frame)
        self._adjust()

    def _draw(self, changes: Changes, name: str) -> Drawn:
        return draw(
            changes.tables,
            seed=SEED,
            attribute=name,
            permutations=self.options.permutations,
            counted=changes.counted,
        )

    def _everyone_test(self, metric: str, key: Key, tables, label: int) -> None:
        if metric in ("calibration_error", "psnr"):
            return
        found = inference.everyone_test(
            tables, seed=SEED, permutations=self.options.permutations, **self.given
        )
        p = float(found.p_value[0, label])
        self._everyone.setdefault(metric, []).append((key, found.smallest[:, 0, label], p))

    def _classification(self, where: Key, images: Images) -> None:
        chance = False
        for name, code in images.code.items():
            groups = group_number(name)
            given = {"groups": groups, **self.given}
            label, who = images.label, images.patient
            pair = (images.original, images.reconstructed)
            decided = [np.where(np.isfinite(v), 1.0 * (v >= TAU), np.nan) for v in pair]
            decisions = inference.decision_changes(*decided, label, code, who, **given)
            aurocs = inference.auroc_changes(*pair, label, code, who, **given)
            area = self._performance((*where, name), images, code, groups, decisions, aurocs)
            if name == "":
                chance = bool(area["ci_low"] <= 0.5)
            elif np.any(code >= 0):
                self._gaps((*where, name), images, code, groups, decisions, aurocs, chance, decided)

    def _performance(self, where, images, code, groups, decisions, aurocs) -> Row:
        """Rates, areas and errors of every group; the area on originals of the last."""
        tables = decisions.tables
        squares = [(v - images.label) ** 2 for v in (images.original, images.reconstructed)]
        errors = [
            inference.patient_tables(v, None, code, images.patient, groups=groups) for v in squares
        ]
        brier = errors[1]._replace(change=errors[1].change - errors[0].change)
        for g in range(groups):
            group = self._name(where[2], g)
            image = code == g
            found = group_numbers(
                images, image, g, (decisions, aurocs), (*errors, brier), self.options.alpha
            )
            counts = self._counts(images, image)
            for metric, numbers in found.items():
                key = (*where, metric, "", group, "")
                self.rows |= versions(key, *({**n, **counts} for n in numbers))
                if where[2] == "":
                    used = {"auroc": aurocs.tables, "brier": brier}.get(metric, tables)
                    chance = found["auroc"][0]["ci_low"] <= 0.5
                    if not chance:
                        self._everyone_test(
                            metric, (*key, "change"), used, int(metric == "sensitivity")
                        )
        return found["auroc"][0]

    def _counts(self, images: Images, inside: np.ndarray) -> Row:
        known = inside & np.isfinite(images.label)
        moved = (images.original >= TAU) != (images.reconstructed >= TAU)
        sums = {"n": known, "n_pos": known & (images.label == 1)}
        sums |= {"n_neg": known & (images.label == 0), "n_changed": known & moved}
        counts = {name: float(v.sum()) for name, v in sums.items()}
        return counts | {"n_patients": float(len(set(images.patient[known])))}

    def _name(self, attribute: str, g: int) -> str:
        found = [a.groups[g] for a in SPEC.attributes if a.name == attribute]
        return found[0] if found else ""

    def _gaps(self, where, images, code, groups, decisions, aurocs, chance, decided) -> None:
        counts = self._counts(images, code >= 0)
        drawn = self._draw(decisions, where[2])
        options = self.options
        tests = {
            "eodd": evaluate(
                drawn, label_weights=options.label_weights, alpha=options.alpha, decisions=True
            ),
            "eop": evaluate(drawn.of_labels([1]), alpha=options.alpha, decisions=True),
        }
        mask = np.isin(decisions.counted[0][0], (0, 4)).T
        tables = [
            metrics.group_counts(images.label, np.nan_to_num(d), code, groups) for d in decided
        ]
        given = {"groups": groups, "attribute": where[2], "permutations": DRAWS, "mask": mask.T}
        nulls = [
            inference.permutation_null(d, images.label, code, images.patient, SEED, **given)
            for d in decided
        ]
        for metric in ("eodd", "eop"):
            formula = metrics.eodd_from_counts if metric == "eodd" else metrics.eop_from_counts
            keys = []
            for convention in CONVENTIONS:
                inside = mask if convention == "worst_case_estimable" else None
                pair = [float(formula(c, convention, inside).value) for c in tables]
                key = (*where, metric, convention, "", "")
                rows = [{**lone(v), **counts} for v in (*pair, pair[1] - pair[0])]
                self.rows |= versions(key, *rows)
                self._null(key, [null[decision_null(metric, convention)] for null in nulls])
                keys += [(*key, "change")] * (convention != "mean")
            self._published(
                (*where, metric, "mean", "", "", "change"), decided, images, code, groups
            )
            per_group = self._group_rows(where, tests["eodd"], decisions, LABELS, "gap_{}")
            test = inference.one_cell(tests[metric], 0)
            chosen = per_group if metric == "eodd" else {}
            self._queue(metric, Tested(keys, chosen, test, chance, True))
        self._worst(where, decisions, LABELS, counts)
        self._spread((*where, "gap_auroc"), aurocs, counts, chance)
        given = {"groups": groups, **self.given}
        scores = inference.score_changes(
            images.original, images.reconstructed, images.label, code, images.patient, **given
        )
        self._spread((*where, "gap_score"), scores, counts, chance, options.label_weights)

    def _null(self, key: Key, nulls: list[PermutationNull]) -> None:
        """The permutation nulls of both versions; the change carries the second."""
        for version, null in zip(("original", "reconstructed", "change"), (*nulls, nulls[-1])):
            self.rows[*key, version] |= {"permutation_null": float(null.mean)}

    def _mean_nulls(self, images: Images, changes: Changes, name: str) -> list[dict]:
        """The permutation nulls of means of both versions."""
        judged = np.isin(changes.counted[0][0, 0], (0, 4))
        groups = group_number(name)
        given = {"groups": groups, "attribute": name, "permutations": DRAWS, "mask": judged}
        return [
            inference.permutation_null_means(v, images.code[name], images.patient, SEED, **given)
            for v in (images.original, images.reconstructed)
        ]

    def _published(self, key: Key, decided, images: Images, code, groups: int) -> None:
        found = inference.published_tests(
            *decided, images.label, code, SEED, groups=groups, replicates=20
        )[key[3]]
        self._recipe(key, found)

    def _recipe(self, key: Key, found: inference.Published) -> None:
        """The columns of the published recipe."""
        # an empty stratum that the recipe reads as a rate makes another gap
        if not np.isclose(self.rows[key]["value"], float(found.change), atol=1e-9):
            return
        self.rows[key] |= {
            "p_value": float(found.p_one_tailed),
            "p_two_sided": float(found.p_two_sided),
            "std_error": float(found.std_error),
            "ci_low": float(found.ci_low),
            "ci_high": float(found.ci_high),
        }

    def _spread(
        self, where: Key, changes: Changes, counts: Row, chance: bool, weights=None
    ) -> None:
        """A gap of values, largest over labels, with rows per group where there are labels."""
        keys = []
        for convention in ("worst_case", "worst_case_estimable"):
            mask = changes.counted[0][0] == 0 if convention != "worst_case" else None
            pair = []
            for rate in (changes.original, changes.reconstructed):
                gaps = metrics.gap_from_values(rate[0], None, mask, convention).value
                pair.append(np.max(gaps[np.isfinite(gaps)], initial=-1))
            pair = [NAN if v < 0 else float(v) for v in pair]
            key = (*where, convention, "", "")
            self.rows |= versions(key, *({**lone(v), **counts} for v in (*pair, pair[1] - pair[0])))
            keys.append((*key, "change"))
        test = evaluate(
            self._draw(changes, where[2]), label_weights=weights, alpha=self.options.alpha
        )
        labels = LABELS if where[3] == "gap_score" else ()
        per_group = self._group_rows(where[:3], test, changes, labels, "gap_score")
        self._queue(where[3], Tested(keys, per_group, inference.one_cell(test, 0), chance, False))

    def _group_rows(self, where, test: GroupTest, changes: Changes, labels, metric: str):
        """Rows of every label and group; their keys by place."""
        keys = {}
        for y, (name, stratum) in enumerate(labels):
            for g in range(test.reason.shape[-1]):
                place = (0, y, g)
                group = self._name(where[2], g)
                key = (*where, metric.format(name), "", group, stratum, "change")
                n = float(changes.images[place])
                silent = not changes.decisions and test.extra_error[place] < 1e-100
                self.rows[key] = {
                    "value": float(test.extra[place]),
                    "change": float(test.extra[place]),
                    "original": float(changes.original[place]),
                    "reconstructed": float(changes.reconstructed[place]),
                    "std_error": float(test.extra_error[place]),
                    "ci_low": NAN if silent else float(test.extra_low[place]),
                    "ci_high": NAN if silent else float(test.extra_high[place]),
                    "p_value": float(test.group_p[place]),
                    "n": n,
                    "n_patients": float(test.patients[place]),
                    "n_changed": float(changes.changed[place]),
                    "n_pos": n if stratum == "positive" else NAN,
                    "n_neg": n if stratum == "negative" else NAN,
                }
                keys[y, g] = key
        return keys

    def _worst(self, where, changes: Changes, labels, counts: Row) -> None:
        for y, (name, stratum) in enumerate(labels):
            judged = changes.counted[0][0, y] == 0
            if not judged.any():
                continue
            pair = [v[0, y] for v in (changes.original, changes.reconstructed)]
            worst = [int(metrics.worst_group(v, True, judged)) for v in pair]
            values = [float(v[g]) for v, g in zip(pair, worst)]
            key = (*where, f"worst_group_{name}", "worst_case_estimable")
            rows = [{**lone(v), **counts} for v in (*values, values[1] - values[0])]
            found = versions((*key, "", stratum), *rows)
            for version, g in zip(("original", "reconstructed"), worst):
                row = found.pop((*key, "", stratum, version))
                found[*key, self._name(where[2], g), stratum, version] = row
            self.rows |= found

    def _queue(self, metric: str, tested: Tested) -> None:
        # the headline gaps of findings and of regions are one family
        family = "headline" if metric in ("eodd", "ser") else metric
        self._families.setdefault(family, []).append(tested)

    def _adjusted(self, p: list[float], draws: list) -> tuple[np.ndarray, float]:
        """Adjusted p-values and the level of a single comparison."""
        alpha = self.options.alpha
        if not p:
            return np.zeros(0), alpha
        if self.options.adjustment == "holm":
            return inference.adjust(np.array(p), "holm"), alpha / len(p)
        return inference.adjust_cells(draws, alpha)

    def _adjust(self) -> None:
        """Adjusts every family and writes p, adjusted p and detectable changes."""
        for everyone in self._everyone.values():
            known = [item for item in everyone if np.isfinite(item[2])]
            found, _ = self._adjusted([p for *_, p in known], [{"signs": v} for _, v, _ in known])
            for (key, _, p), adjusted in zip(known, found, strict=True):
                self.rows[key] |= {"p_value": p, "p_adjusted": float(adjusted)}
        for members in self._families.values():
            known = [m for m in members if not m.chance and np.isfinite(m.test.p_value)]
            p = [float(m.test.p_value) for m in known]
            found, level = self._adjusted(p, [m.test.smallest for m in known])
            adjusted = {id(m): float(v) for m, v in zip(known, found, strict=True)}
            for m in members:
                self._write(m, adjusted.get(id(m), NAN), level)

    def _write(self, m: Tested, adjusted: float, level: float) -> None:
        """The columns of one test."""
        two = m.test.reason.shape[-2] == 2
        change = inference.minimum_detectable_change(
            m.test,
            level=level,
            alpha=self.options.alpha,
            decisions=m.decisions,
            label_weights=self.options.label_weights if two else None,
        )
        p = NAN if m.chance else float(m.test.p_value)
        for key in m.gaps:
            size = NAN if m.chance else float(change.largest)
            self.rows[key] |= {"p_value": p, "p_adjusted": adjusted, "mde": size}
        for place, key in m.groups.items():
            own = self.rows[key]["p_value"]
            self.rows[key]["mde"] = NAN if m.chance else float(change.stratum[place])
            if not m.chance and m.test.reason[place] == 0:
                self.rows[key]["p_adjusted"] = float(np.fmax(own, adjusted))
