"""Thresholds from scikit-learn's ROC curve."""

import numpy as np
from sklearn.metrics import roc_curve


def curve(label, score):
    """Thresholds and rates of every observed score, from scikit-learn."""
    fpr, tpr, tau = roc_curve(label, score, drop_intermediate=False)
    return tau[1:], tpr[1:], 1 - fpr[1:]


def balanced(label, score):
    """The smallest observed score whose sensitivity and specificity are closest."""
    tau, sensitivity, specificity = curve(label, score)
    off = np.abs(sensitivity - specificity)
    return tau[np.isclose(off, off.min(), atol=1e-12)].min()
