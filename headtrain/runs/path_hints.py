"""What the path of a released checkpoint says of its training: lamem_ResNet50FC_lstm3_noatt_train_1/weights_40.pkl."""

import re
from collections.abc import Iterator
from pathlib import Path

from headtrain.settings.presets import RELEASED_MEAN

AVA_MEAN = 0.538  # target_mean of the authors for AVA, an aesthetics data set
ATTENTION, LAST = re.compile(r"(?<![a-z])no_?att", re.I), re.compile(r"_last(?![a-z0-9])", re.I)
STEPS = re.compile(r"(?<![a-z])lstm_?(\d+)", re.I)
NETWORK = re.compile(r"(?<![a-z])resnet_?-?(?!50(?!\d))(\d+)", re.I)
AVA = re.compile(r"(?<![a-z0-9])ava(?![a-z0-9])", re.I)


def contradictions(path: Path, steps: int, attention: bool, output: str, mean: float) -> Iterator[str]:
    """Yield a line for each thing that the path says of a training and the options say otherwise."""
    text = str(path)
    if attention and (found := ATTENTION.search(text)):
        yield f"the path says {found[0]}: trained without attention? then --no-attention"
    told = {int(digits[:6]) for digits in STEPS.findall(text)}
    if told and steps not in told:
        yield f"the path says {STEPS.search(text)[0]}, and the head has {steps} steps; --steps {min(told)}?"  # type: ignore[index] # it was found
    if output != "last" and (found := LAST.search(text)):
        yield f"the path says {found[0]}: trained with --last-step-prediction? then --last-step"
    if found := NETWORK.search(text):
        yield f"the path says {found[0]}: the features of another network than ResNet50, which amnet does not extract"
    if mean == RELEASED_MEAN and (found := AVA.search(text)):
        yield f"the path says {found[0]}: the authors' mean score is {AVA_MEAN} there, not {mean}; --mean {AVA_MEAN}?"
