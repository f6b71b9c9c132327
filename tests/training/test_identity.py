from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fairrecon_jax.keys import free
from fairrecon_jax.training.identity import check_run_identity
from fairrecon_jax.types import InputError


def test_the_same_choices_are_let_in_again(tmp_path: Path) -> None:
    first = check_run_identity(tmp_path / "run", {"config.steps": 10, "levels": (4, 8)})
    assert check_run_identity(tmp_path / "run", {"levels": [4, 8], "config.steps": 10}) == first
    assert first != check_run_identity(tmp_path / "other", {"config.steps": 11, "levels": (4, 8)})


def test_changed_fields_are_named_with_both_values(tmp_path: Path) -> None:
    check_run_identity(tmp_path, {"config.steps": 10, "config.seed": 1, "same": 0})
    with pytest.raises(
        ValueError,
        match=r"config.seed was 1, now 2; config.steps was 10, now 20\. Use another workdir",
    ):
        check_run_identity(tmp_path, {"config.steps": 20, "config.seed": 2, "same": 0})
    with pytest.raises(ValueError, match="more was None, now 3"):
        check_run_identity(tmp_path, {"config.steps": 10, "config.seed": 1, "same": 0, "more": 3})


@pytest.mark.parametrize("lying", ["final", "checkpoints/4"])
def test_weights_of_which_nothing_says_what_made_them_are_not_taken_over(tmp_path, lying):
    (tmp_path / "w" / lying).mkdir(parents=True)
    wanted = rf"w holds {lying.split('/')[0]} but no run\.json, which says what they were made from"
    with pytest.raises(InputError, match=wanted):
        check_run_identity(tmp_path / "w", {"config.steps": 10})
    assert not (tmp_path / "w" / "run.json").exists()
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    check_run_identity(tmp_path / "empty", {"config.steps": 10})


@dataclasses.dataclass(frozen=True)
class Choices:
    """One field that counts and one that does not."""

    steps: int
    workers: int = free(0)


def test_free_fields_may_change_and_do_not_enter_the_digest(tmp_path: Path) -> None:
    first = check_run_identity(tmp_path, {"config": Choices(10)})
    assert check_run_identity(tmp_path, {"config": Choices(10, workers=4)}) == first
    with pytest.raises(InputError, match=r"config\.steps was 10, now 11"):
        check_run_identity(tmp_path, {"config": Choices(11)})
