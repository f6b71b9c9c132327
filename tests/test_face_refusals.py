"""What a notebook gives by mistake: one clear error that names the argument, never a trace from
inside.
"""

import numpy as np
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
    import jax

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
