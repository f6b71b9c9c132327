"""What a notebook gives by mistake: one clear error that names the argument, never a trace from
inside.
"""

import jax
import numpy as np
import pandas as pd
import pytest

import fairrecon_jax as fr
from fairrecon_jax.types import InputError

X = np.random.default_rng(0).random((12, 16, 16), np.float32)
Y = np.arange(12) % 2
SEX = list("mf" * 6)
UNET, PHYSICS = fr.UNetReconstructor(width=2, depth=1), fr.GaussianNoise(sd=0.1)
NOTHING = {"params": {}, "batch_stats": {}}


def score(image):
    return image.mean((1, 2, 3))


def weights(unet=UNET):
    return unet.init(jax.random.key(0), {"image": X[..., None]})


def audit(**more):
    brightness = X.mean((1, 2))
    given = {"label": Y, "original": brightness, "reconstructed": brightness}
    return fr.assess(**given, groups={"sex": SEX}, **more)


def mitigated(reconstructor, method):
    cohort = fr.arrays(X, Y, groups={"sex": SEX})
    return fr.mitigate(reconstructor, cohort, PHYSICS, method, [], steps=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 2.5}, "steps must be a whole number, got 2.5"),
        ({"steps": "2"}, "steps must be a whole number, got '2'"),
        ({"steps": None}, "steps must be a whole number, got None"),
        ({"steps": True}, "steps must be a whole number, got True"),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5"),
        ({"learning_rate": 0}, "learning_rate is 0: nothing would be learned"),
        ({"learning_rate": "x"}, "learning_rate must be a number, got 'x'"),
        ({"seed": "a"}, "seed must be a whole number, got 'a'"),
        ({"validation": "0.2"}, "validation is a share .* got '0.2'"),
        ({"workdir": 3}, "workdir takes a folder, got 3"),
        ({"workdir": __file__}, "workdir '.*test_face_refusals.py' is a file"),
        ({"initial": 3}, "initial takes variables such as fit returns, got 3"),
        ({"augment": True}, r"augment takes fr.Augmentation\(...\), got True"),
        ({"objective": "eodd"}, "objective is a term for the loss"),
        ({"sampling": [1.0]}, "sampling takes a function .*, got list"),
        ({"model": None}, "model must be a reconstructor or a diagnoser, got NoneType"),
    ],
)
def test_fit(change, message):
    given = {"model": UNET, "cohort": fr.arrays(X, Y), "physics": PHYSICS, "steps": 1, **change}
    with pytest.raises(InputError, match=message):
        fr.fit(**given)


def test_numbers_of_numpy_are_numbers():
    with pytest.raises(ValueError, match="image_size must be a whole number, got '32'"):
        fr.CohortConfig("chexpert", image_size="32")
    config = fr.TrainConfig(np.int64(3), 4, learning_rate=np.float32(0.5))
    assert (type(config.steps), config.learning_rate) == (int, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fr.trained(UNET, 3), "unet: weights are variables .* got int"),
        (lambda: fr.trained(UNET, {"params": {}}), r"unet: weights .* got \['params'\]"),
        (lambda: fr.trained(UNET, NOTHING)(X), "unet: the variables do not fit .* is absent"),
        (
            lambda: fr.trained(fr.UNetReconstructor(width=4, depth=1), weights())(X),
            r"unet: the variables do not fit the network: .* is \(.*\), expected",
        ),
        (
            lambda: fr.trained(fr.Classifier(("a",), (0,), "resnet18", width=2), weights())(X),
            "classifier: the variables do not fit the network",
        ),
        (lambda: fr.trained(UNET, weights())(X[:, :1, :1]), "unet: .*1 pixels?|1x1"),
        (lambda: fr.trained(UNET, weights())(X, ids=3), "ids takes a list of names, got 3"),
        (lambda: PHYSICS([[1, 2], [3]], key=0), "rows or shapes of different lengths"),
        (lambda: fr.on_host(3), "on_host takes a function of images, got int"),
        (lambda: fr.tandem(PHYSICS, UNET, {"a": score}, NOTHING)(X, Y, key=0), "unet: the var"),
        (lambda: fr.tandem(PHYSICS, None, None)(X, Y, key=0), "diagnosers is a list .* NoneType"),
        (lambda: fr.tandem(PHYSICS, None, {"a": score}, batch_size="3"), "batch_size .* got '3'"),
        (lambda: fr.tandem(PHYSICS, None, {"a": score}, image_metrics="psnr"), "a tuple of names"),
        (
            lambda: fr.tandem(PHYSICS, None, {"a": score})(X, Y, split=["x"] * 12, key=0),
            "split must hold 'val' and 'test', got 'x'",
        ),
        (lambda: fr.run(fr.configuration("quickstart_xray"), __file__), "workdir .* is a file"),
        (lambda: audit().report(__file__), "folder .* is a file"),
        (lambda: audit(options={"alpha": 0.1}), "options takes fr.AssessOptions"),
        (lambda: fr.open_cohort("chexpert", "x"), "config takes fr.CohortConfig"),
        (lambda: mitigated(UNET, fr.make_mitigation("reweighting")), "fine-tunes a trained recon"),
        (lambda: mitigated(fr.trained(UNET, weights()), "reweighting"), "method is a mitigation"),
    ],
)
def test_networks_and_steps(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("threshold", ["0.5", [0.5], float("nan"), 2])
def test_a_threshold_is_a_number(threshold):
    with pytest.raises(InputError, match=r"threshold: threshold_value must be a number in \[0, 1"):
        audit(threshold=threshold)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: m.eodd([], [], []), "label, decision and group are empty"),
        (lambda m: m.ser([], []), "dice and group are empty"),
        (lambda m: m.gap([], []), "value and group are empty"),
        (lambda m: m.eodd(["yes", "no"], [1, 0], ["a", "b"]), "label must hold numbers"),
        (lambda m: m.gap(["x", "y"], ["a", "b"]), "value must hold numbers"),
        (lambda m: m.eodd([1, 0], [1], ["a", "b"]), "decision must hold 2 entries like group"),
        (lambda m: m.eodd([1, 0], [1, 0], ["a", "b"], weight=[1, -1]), "weight must not be negat"),
        (lambda m: m.eodd([1, 0], [1, 0], ["a", "b"], patient=["p"]), "patient must hold 2"),
        (lambda m: m.delta_dice([3.0, 0.2], ["a", "b"]), r"dice must lie in \[0, 1\], got 0.2 to"),
        (lambda m: m.auroc([1, 0], ["a", "b"]), "score must hold numbers"),
        (lambda m: m.auroc(1, 0.2), "one entry per example each"),
        (lambda m: m.dice([[1]], [[1]]), r"must be \[..., H, W, S\]"),
    ],
)
def test_metrics(make, message):
    with pytest.raises(ValueError, match=message):
        make(fr.metrics)


def test_what_is_unknown_is_no_mistake():
    assert np.isnan(fr.metrics.eodd([1, 0], [1, 0], [None, None]))
    assert np.isnan(fr.metrics.gap([0.5], [None]))
    assert float(fr.metrics.auroc([None, 1, 0], [0.9, 0.8, 0.1])) == 1


def test_one_task_may_be_named_by_its_name():
    spec = fr.arrays(X, {"effusion": Y}).spec
    assert fr.make_diagnoser("classifier", spec, "effusion", width=2).tasks == ("effusion",)


# -- what is said where a table would have said it


def test_an_audit_that_judged_nothing_does_not_say_that_nothing_was_found():
    y, sex = np.arange(24) % 2, np.tile(["f", "m"], 12)
    few = fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={"sex": np.sort(sex)})
    assert "none could be judged" in repr(few)
    alone = fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={})
    assert "no groups compared" in repr(alone)


def test_words_for_nothing_are_no_groups_and_are_told():
    y = np.arange(90) % 2
    sex = np.tile(["f", "m", "Unknown"], 30)
    with pytest.warns(UserWarning, match="'Unknown' .30 rows. counts as unknown"):
        audit = fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={"sex": sex})
    assert audit.spec.attributes[0].groups == ("f", "m")


def test_a_number_is_no_group():
    y, age = np.arange(200) % 2, np.arange(200) / 7
    with pytest.raises(InputError, match=r"age has 200 groups, from .* cut numbers into groups"):
        fr.assess(label=y, original=0.9 * y, reconstructed=0.8 * y, groups={"age": age})


def test_scores_that_are_missing_are_counted_and_none_at_all_is_refused():
    y = np.arange(60) % 2
    some = np.where(np.arange(60) < 7, np.nan, 0.9 * y)
    with pytest.warns(UserWarning, match="reconstructed of 'finding': 7 of 60 rows have no score"):
        fr.assess(label=y, original=0.9 * y, reconstructed=some, groups={})
    with pytest.raises(InputError, match="holds no number at all: did its diagnoser give NaN"):
        fr.assess(label=y, original=0.9 * y, reconstructed=np.full(60, np.nan), groups={})


def test_a_function_of_numpy_is_to_be_wrapped():
    images = np.random.default_rng(0).random((4, 16, 16)).astype(np.float32)
    step = fr.tandem(fr.GaussianNoise(sd=0.1), None, {"c": lambda x: np.asarray(x).mean((1, 2, 3))})
    with pytest.raises(InputError, match=r"wrap what computes with NumPy or PyTorch in fr"):
        step(images, {"c": [0, 1, 0, 1]}, key=0)


def test_an_identity_needs_no_weights():
    images = np.random.default_rng(0).random((4, 16, 16)).astype(np.float32)
    step = fr.tandem(fr.GaussianNoise(sd=0.1), fr.Identity(), {"c": lambda x: x.mean((1, 2, 3))})
    assert len(step(images, {"c": [0, 1, 0, 1]}, key=0)) == 4


def test_other_images_in_the_same_folder_are_refused(tmp_path):
    images = np.random.default_rng(0).random((16, 16, 16)).astype(np.float32)
    unet, physics = fr.UNetReconstructor(width=2, depth=1), fr.GaussianNoise(sd=0.1)
    fits = {"steps": 1, "batch_size": 4, "validation": 0, "workdir": tmp_path}
    first = fr.fit(unet, fr.arrays(images), physics, **fits)
    again = fr.fit(unet, fr.arrays(images), physics, **fits)
    np.testing.assert_array_equal(*(jax.tree.leaves(w)[0] for w in (first, again)))
    with pytest.raises(InputError, match="cohort"):
        fr.fit(unet, fr.arrays(images[::-1] * 0.5), physics, **fits)


def test_options_of_an_assessment_name_columns_of_the_table():
    rng = np.random.default_rng(0)
    y, n = np.arange(300) % 2, 300
    table = pd.DataFrame(
        {"y": y, "a": 0.9 * y, "b": 0.8 * y, "sex": rng.choice(["f", "m"], n)}
        | {"site": rng.choice(["x", "z"], n), "age": rng.uniform(20, 90, n), "seed": 0}
    )
    named = {"label": "y", "original": "a", "reconstructed": "b", "groups": ["sex"]}
    options = fr.AssessOptions(strata="site", continuous=("age",), permutations=99)
    audit = fr.assess(table, options=options, seed="seed", **named)
    assert set(audit.trends["column"]) == {"age"}
    with pytest.raises(InputError, match="columns of a table: give a DataFrame"):
        fr.assess(label=y, original=y, reconstructed=y, groups={}, options=options)
    with pytest.raises(InputError, match="continuous is a tuple"):
        fr.assess(table, options=fr.AssessOptions(continuous="age"), **named)
    with pytest.raises(InputError, match="no column 'nonsense'"):
        fr.assess(table, options=fr.AssessOptions(continuous=("nonsense",)), **named)
