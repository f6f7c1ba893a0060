"""The text itself: facts in, sentences out (pure). Each sentence says one thing that a reader could check or repeat."""

import math
from collections.abc import Iterator, Mapping, Sequence

from amnet_common.collection.joint_spec import POOLED, specs_in
from headtrain.methods.facts import Facts, Training
from headtrain.methods.references import OF_DATA
from headtrain.settings.configuration import KERNEL, HeadConfig, TrainingConfig

PLANS = {
    "standard": "the image's short side scaled to 256 pixels, centre of 224 x 224",
    "squash": "the whole image scaled to 224 x 224",
    "squash264": "the whole image scaled to 224 x 224",
}
SIZE, SHORT_SIDE = 224, 256  # of the plans above
RESNET = "he2016deep"
POOLED_SAID = ", finer grids averaged by area to the coarsest"
ADAM, LEAVE_ONE_OUT, RESAMPLED = "kingma2015adam", "hastie2009elements", "nadeau2003inference"
Text = tuple[str, tuple[str, ...]]  # sentences, and the keys of what they cite


def paragraphs(systems: Sequence[Facts], score: str, data: str | None) -> Iterator[Text]:
    """Yield paragraphs, each with what it cites: the features, each system, the figures.

    `score`: what the scores are called; `data`: LaMem, SUN, LNSIM, or None for other images.
    """
    yield features(systems[0].spec, score, data)
    for facts in systems:
        yield system(facts, score)
    yield figures(systems, score)


def features(spec: Mapping[str, object], score: str, data: str | None) -> Text:
    """Describe the images and their features."""
    cites = ("fajtl2018amnet", *((OF_DATA[data],) if data in OF_DATA else ()))
    of = f" of {data} ({OF_DATA[data]})" if data in OF_DATA else ""
    said = [f"{score.capitalize()} of the images{of} was predicted with amnet, an implementation of AMNet "
            "(fajtl2018amnet) on cached features."]  # fmt: skip
    if not spec:
        return " ".join(said), cites
    parts = [computed(one) for one in specs_in(spec)]
    said += [sentence for sentences, _ in parts for sentence in sentences]
    if len(parts) > 1:
        said.append(f"At each location of the view the channels of the {len(parts)} networks or view plans stood one "
                    f"after the other{POOLED_SAID if POOLED in spec else ''}.")  # fmt: skip
    return " ".join(said), tuple(dict.fromkeys((*cites, *(key for _, keys in parts for key in keys))))


def computed(spec: Mapping[str, object]) -> tuple[list[str], tuple[str, ...]]:
    """Describe how the features of one collection were computed: sentences, and what they cite."""
    plan = spec.get("view_plan")
    plan = plan if isinstance(plan, dict) else {}
    network = str(spec.get("trunk", "a ResNet50"))
    weights = str(spec.get("weights_sha256", ""))[:12] or "unknown"
    wiring, precision, dtype = (spec.get(key, "unknown") for key in ("variant", "precision", "dtype"))
    by_resnet = "resnet" in network.lower()  # others are cited by whoever uses them
    wired = f"wired as {wiring}" + (f", {RESNET}" if by_resnet else "")
    said = [f"Features were computed once by a frozen network ({network}, {wired}; SHA-256 "
            f"of the weights {weights}...; {precision}), and kept as {dtype}."]  # fmt: skip
    name = str(plan.get("name", "unknown"))
    version = f", version {plan['version']}" if "version" in plan else ""
    crops = plan.get("augs", 0)
    drawn = f" and {crops} random resized crops of it (seed {spec.get('seed')})" if crops else ""
    said.append(f"Each image gave one evaluation view ({shown(name, plan)}; plan {name}{version}){drawn}.")
    return said, ((RESNET,) if by_resnet else ())


def shown(name: str, plan: Mapping[str, object]) -> str:
    """Describe what view 0 of a plan shows."""
    size, side = plan.get("size", SIZE), plan.get("short_side", SHORT_SIDE)
    if name not in PLANS or (size, side) == (SIZE, SHORT_SIDE):
        return PLANS.get(name, "unknown")
    return PLANS[name].replace(f"{SIZE} x {SIZE}", f"{size} x {size}").replace(f"{SHORT_SIDE} pixels", f"{side} pixels")


def system(facts: Facts, score: str) -> Text:
    """Describe one system: how it was trained or fitted, on what, and how it was chosen."""
    what = {"train": "training", "val": "validation", "test": "test"}
    lists = ", ".join(f"{counted(*count)} {what[name]}" for name, count in facts.images.items())
    on = f"on {facts.splits} splits" if facts.splits > 1 else "on one split"
    left = f"; {facts.left_out} images without features were left out" if facts.left_out else ""
    where = f"{on} ({lists} images{' each' if facts.splits > 1 else ''}{left})"
    if facts.heads:
        how = f"It is the mean of {len(facts.heads)} heads." if not facts.chosen else f"It has {facts.chosen}."
        return f"{facts.name} was tested {where}. {how}", ()
    if facts.training is None:
        chosen = (
            f" Chosen by leave-one-out on the training images, in closed form (hastie2009elements): {facts.chosen}."
        )
        kernel = facts.chosen and facts.chosen != "nothing"
        return f"The baseline '{facts.name}' was fitted {where}.{chosen if kernel else ''}", (
            (LEAVE_ONE_OUT,) if kernel else ()
        )
    config = facts.training.config
    parts = (f"{facts.name}: {network_of(config.head)} was trained {where}. {optimised(facts.training)} "
             f"{selected(facts, config.training)}")  # fmt: skip
    return parts + ranged(score, config.training), (ADAM,)


def network_of(head: HeadConfig) -> str:
    """Describe a head."""
    if head.architecture == KERNEL:
        own = dict(head.own)
        of = "the mean" if own.get("statistics") == "mean" else "mean, deviation and maximum"
        return f"a{' linear ridge' if own.get('kernel') == 'linear' else ' kernel'} regression on {of} of each channel"
    if head.has_own:
        settings = ", ".join(f"{name} {value}" for name, value in head.own)
        standardised = ", on standardised channels" if head.standardise else ""
        return (f"a head of another architecture than the paper's, '{head.architecture}'"
                f"{f' ({settings})' if settings else ''}{standardised}")  # fmt: skip
    whose = "the paper's equations" if head.architecture == "paper" else "the authors' published code"
    looks = "soft attention over the locations" if head.attention else "all locations weighed alike (no attention)"
    steps = f"an LSTM of {head.steps} steps and {head.hidden} units" if head.steps else "no LSTM"
    input_ = ", standardised channels" if head.standardise else ""
    dropout = (f"dropout {head.feature_dropout:g} of the features ({head.feature_dropout_unit}s), "
               f"{head.attention_dropout:g} in the attention, {head.regress_dropout:g} in the regression")  # fmt: skip
    return (f"a head after {whose} ({looks}, {steps}; the score is the {head.output} of the steps' outputs{input_}; "
            f"{dropout})")  # fmt: skip


def optimised(training: Training) -> str:
    """Describe loss and optimiser."""
    config = training.config.training
    schedule = "" if config.lr_schedule == "constant" else f", {config.lr_schedule} schedule"
    average = (
        f", with a running average of the weights (decay {config.weight_average:g})" if config.weight_average else ""
    )
    seeds = f"seed {training.seeds[0]}" if len(training.seeds) == 1 else f"seeds {', '.join(map(str, training.seeds))}"
    versions = ", ".join(f"{name} {version}" for name, version in training.versions.items())
    software = f" ({versions})" if versions else ""
    loss = f"plus {config.penalty:g} times the attention penalty " if config.penalty else ""
    return (f"Squared error {loss}was minimised by Adam (kingma2015adam; "
            f"learning rate {config.learning_rate:g}{schedule}, L2 {config.l2:g}, batches of {config.batch_size})"
            f"{average}; {seeds}, {training.precision}{software}.")  # fmt: skip


def selected(facts: Facts, config: TrainingConfig) -> str:
    """Describe how the epoch was chosen."""
    passes = f" of at least {config.least_updates} updates each" if config.least_updates else ""
    on = "the test list" if facts.optimistic else "the validation images"
    chosen = (f"Of at most {config.epochs} epochs{passes} (patience {config.patience}) the one of the highest Spearman "
              f"correlation on {on} was kept")  # fmt: skip
    return chosen + (", which makes the test result optimistic." if facts.optimistic else ".")


def ranged(score: str, config: TrainingConfig) -> str:
    """Describe the scale on which the score was trained."""
    if config.target_mean is None and config.target_scale is None:
        return f" {score.capitalize()} was centred and scaled to [-1, 1] by the training images."
    return ""


def figures(systems: Sequence[Facts], score: str) -> Text:
    """Give the figures, with intervals, and say what they are."""
    several = any(facts.splits > 1 for facts in systems)
    told = "; ".join(figure(facts) for facts in systems)
    what = ("Agreement with the human scores is Spearman's rank correlation (average ranks for ties) on the test images"
            f"{', mean and standard deviation over the splits' if several else ''}; intervals are 95 % percentile "
            "bootstraps over images (2,000 resamples), for these trained heads.")  # fmt: skip
    anew = any(facts.corrected for facts in systems)
    if anew:
        what += (" Intervals of the method trained anew on other images have the variance of resampled tests "
                 f"({RESAMPLED}).")  # fmt: skip
    return f"{what} {score.capitalize()}: {told}.", (RESAMPLED,) if anew else ()


def figure(facts: Facts) -> str:
    """Give one system's figures."""
    spread = "" if math.isnan(facts.spread) else f" (sd {facts.spread:.3f})"
    optimistic = ", optimistic: epochs chosen on test images" if facts.optimistic else ""
    if math.isnan(facts.rho):
        return f"{facts.name}: rho is not defined, as its predictions do not differ{optimistic}"
    bounds = f"[{facts.interval.low:.3f}, {facts.interval.high:.3f}]"
    if facts.corrected:
        bounds += f" (trained anew: [{facts.corrected.low:.3f}, {facts.corrected.high:.3f}])"
    return (f"{facts.name}: rho = {facts.rho:.3f}{spread}, 95 % CI {bounds}, MSE = {facts.mse:.4g}, Pearson r = "
            f"{facts.pearson:.3f}{optimistic}")  # fmt: skip


def counted(fewest: int, most: int) -> str:
    """Write a count, or its range over splits."""
    return f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
