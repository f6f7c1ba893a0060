"""A job made ready: trunk and kernels are chosen and loaded, the file is made, or compared with them."""

import contextlib
import json
import os
from dataclasses import dataclass, replace

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.layout import DTYPES
from amnet_common.collection.quantise import scales_sha256
from amnet_common.collection.skeleton import create_skeleton
from amnet_common.collection.spec import Spec
from amnet_common.errors import BegunAnewError, ExistsError
from extract.compute import Compute, Hardware, choose_compute
from extract.fidelity import refuse_unfaithful
from extract.found import look, taken_alone
from extract.frozen_trunk import FrozenTrunk
from extract.job import PIXELS, Job, decide, refuse_other_features, refuse_unlike_model
from extract.other_weights import load_other_weights
from extract.pipeline import Cutter
from extract.provenance import provenance
from extract.request import Request
from extract.scales import sample_scales
from extract.weights import Weights, load_weights


@dataclass(frozen=True)
class Tools:
    """Hold what turns pixels into features, loaded and chosen."""

    weights: Weights
    compute: Compute
    trunk: FrozenTrunk

    def describe(self) -> str:
        """Return weights and hardware in one line."""
        trunk = "" if self.weights.trunk.usual else f"trunk {self.weights.trunk.name}, "
        return f"{trunk}weights {self.weights.source} ({self.weights.variant.name}), {self.compute}"


def load_tools(job: Job, hardware: Hardware) -> Tools:
    """Load weights and trunk; what the command leaves open is as in the file that the job resumes, or in `like`.

    Raises WeightsError, ConfigError.
    """
    request = job.request
    model = job.collection or request.like
    views = len(request.dataset.ids) * request.plan.views  # of the whole file, whichever part of it comes first
    wanted = replace(hardware, precision=request.precision)
    compute = choose_compute(wanted, views, model.kernel_path if model else None, request.trunk)
    if request.trunk.usual:
        said = {"variant": request.variant} if request.variant else {}
        weights = load_weights(request.weights, request.seed, request.expected, **said)
    else:
        weights = load_other_weights(request.trunk, request.weights, request.seed, request.expected)
    return Tools(weights, compute, FrozenTrunk(weights, compute))


def make_spec(weights: Weights, request: Request, compute: Compute, scales: np.ndarray | None) -> Spec:
    """Return the spec of the collection that these choices give."""
    return Spec(
        trunk=request.trunk.name,
        variant=weights.variant.name,
        weights_sha256=weights.sha256,
        pixels=PIXELS,
        view_plan=request.plan.as_spec(),
        seed=request.seed,
        precision=compute.precision,
        dtype=request.dtype,
        scales_sha256=None if scales is None else scales_sha256(scales),
        **request.trunk.spec_fields(),
    )


def open_job(job: Job, tools: Tools) -> Job:
    """Create the job's collection, or make sure that the one there can be resumed; the trunk gets its scales.

    If another process creates it meanwhile, that one is resumed: the job that is returned counts.

    Raises SpecError, with each differing field, if it is of other weights, or rows are left to do that would be
    computed by other kernels; OutputError if it cannot be created.
    """
    if job.collection is None:
        job = created(job, tools)
    assert job.collection is not None
    scales = job.collection.scales
    spec = make_spec(tools.weights, job.request, tools.compute, scales)
    refuse_other_features(job, job.collection, spec, tools.compute.kernel_path())
    if scales is not None:
        tools.trunk.quantise_by(scales)
    return job


def created(job: Job, tools: Tools) -> Job:
    """Create the collection of a job, and return the job with it.

    If another process has created it meanwhile, return what that one leaves to do. Raises as `create` and `decide`.
    """
    try:
        uuid = create(job.request, tools)
    except ExistsError:
        if job.request.overwrite or not os.path.exists(job.request.out):  # a symbolic link to itself, say
            raise
        return decide(job.request, look(job.request))
    collection = Collection(job.request.out)
    if collection.uuid != uuid:
        raise BegunAnewError(
            f"--out {job.request.out}: expected the collection {uuid} that this command has made, "
            f"found {collection.uuid}: another process has begun it anew; run the command again"
        )
    return replace(job, request=replace(job.request, overwrite=False), collection=collection)


def create(request: Request, tools: Tools) -> str:
    """Create the collection of a request, empty. Raises ExistsError if the name is taken, SpecError, OutputError, and
    ConfigError for a precision that the trunk does not bear.
    """
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits)
    apart = refuse_unfaithful(cutter, tools.weights, tools.compute, tools.trunk)
    scales = _scales(request, tools)
    spec = make_spec(tools.weights, request, tools.compute, scales)
    refuse_unlike_model(request, json.loads(spec.to_json()))
    with contextlib.ExitStack() as held:
        if request.overwrite and os.path.exists(request.out):
            held.enter_context(taken_alone(request.out))
        return create_skeleton(
            request.out,
            request.dataset,
            request.plan.views,
            spec,
            tools.compute.kernel_path(),
            provenance(request.dataset, request.weights) | ({} if apart is None else {"apart_from_float32": apart}),
            scales,
            replace=request.overwrite,
        )


def _scales(request: Request, tools: Tools) -> np.ndarray | None:
    if DTYPES[request.dtype].kind == "f":
        return None
    if request.like:
        return request.like.scales
    cutter = Cutter(request.dataset, request.plan, request.seed, request.limits)
    return sample_scales(cutter, tools.trunk, tools.compute.batch_size)
