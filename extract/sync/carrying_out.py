"""One run of `--sync`: what there is compared with what is known, the link replaced, and what is new extracted."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from amnet_common.collection import Collection
from amnet_common.collection.description import counts, numbers
from amnet_common.collection.joining import without
from amnet_common.collection.layout import FAILED
from amnet_common.collection.mirror import is_copy
from amnet_common.collection.part import Part
from amnet_common.collection.parts_folder import all_parts, folder_of, next_path, remove_superseded
from amnet_common.collection.skeleton import create_link
from amnet_common.commands import say, say_done, say_wrong, summary
from amnet_common.datasets import Dataset
from amnet_common.errors import OutputError, SpecError
from amnet_common.files import remove_leftovers
from amnet_common.only_writer import only_writer
from extract.found import look_at_images, taken_alone
from extract.job import (
    Job,
    known_settings,
    label_differences,
    refuse_missing_images,
    refuse_unlike_model,
    with_known_version,
)
from extract.provenance import provenance
from extract.request import Request
from extract.sync.deciding import Policy, Today, compare, resumable
from extract.sync.known import KnownRows
from extract.sync.parts import own_name, sources_of
from extract.sync.pruning import prune, unnamed_rows
from extract.weight_source import is_remembered

Extract = Callable[[Job, Callable[[Job], object]], int]  # carries a job out; calls the function once its file is there
OF_WEIGHTS = ("weights", "weights_file")  # in the provenance: weight_source.remembered
MANY_PARTS = 100
MOST_NAMED = 20  # images that are gone, by --dry-run


@dataclass(frozen=True)
class Night:
    """Hold what one run knows and has decided."""

    request: Request  # of the whole collection
    base: Collection | None  # as it was; None: there was none
    known: KnownRows
    today: Today

    @property
    def renewed(self) -> bool:
        """Tell whether the link says anything else than before, beside what is extracted."""
        base, dataset = self.base, self.request.dataset
        if base is None or base.ids != dataset.ids or label_differences(dataset, base):
            return True
        where, held = base.where(), self.today.held
        rest = np.ones(len(held), bool)
        rest[self.today.extract] = False
        moved = (where.parts != held["part"]) | (where.own != held["row"])
        if base.held is not None:
            moved |= (base.held["size"] != held["size"]) | (base.held["mtime_ns"] != held["mtime_ns"])
        else:
            moved |= held["size"] != 0
        about = provenance(dataset, self.request.weights)
        other = any(base.provenance.get(key) != value for key, value in about.items() if key in dataset.about)
        return bool(moved[rest].any()) or other


def synchronise(request: Request, policy: Policy, pruned: bool, extract: Extract) -> int:
    """Bring the collection of a request to the state of its dataset; return the exit status: 1 if images have failed.

    `pruned`: the features of images that are gone are erased. `extract` carries jobs out. Raises BusyError while
    another command is at this collection; as `extract` does; SpecError if the collection is of other settings.
    """
    with only_writer(request.out):
        tidied(request.out)
        night = looked_at(request, policy)
        say(f"{request.out}: {night.today.line()}", err=True)
        summary(request.out, **{kind.replace(" ", "_"): count for kind, count in night.today.kinds.items()},
                gone=len(night.today.gone))  # fmt: skip
        for line in notes(night):
            say(f"note: {line}", err=True)
        status = carry_out(night, extract)
        if pruned:
            tell_pruned(request.out)
        return finish(request.out, status)


def tidied(out: Path) -> None:
    """Remove what killed commands have left among the parts of a collection, and parts whose rows are elsewhere now."""
    if (folder := folder_of(out)).is_dir():
        remove_leftovers(folder)
    if os.path.lexists(out):
        remove_superseded(out, Collection(out))


def plan_sync(request: Request, policy: Policy, plan: Callable[[Job], int]) -> int:
    """Print what `synchronise` would do, and what the extraction in it would cost, as `plan` says; return its status.

    Nothing is written. Raises as `looked_at`.
    """
    night = looked_at(request, policy)
    today, dataset = night.today, night.request.dataset
    say(f"{request.out}: {today.line()}")
    for line in notes(night):
        say(f"note: {line}", err=True)
    for id_ in today.gone[:MOST_NAMED]:
        say(f"gone       {id_}")
    if not today.extract:
        return 0
    names = tuple(dataset.ids[row] for row in today.extract)
    new = Dataset(dataset.name, dataset.image_root, names)
    missing = look_at_images(new).missing
    return plan(Job(replace(night.request, dataset=new), None, tuple(range(len(names))), missing=missing))


def looked_at(request: Request, policy: Policy) -> Night:
    """Compare the dataset of a request with what its collection and the parts beside it hold.

    Raises SpecError if these are of other settings, DatasetError if no image is there at all.
    """
    base = Collection(request.out) if os.path.lexists(request.out) else None
    parts = all_parts(request.out, base)
    model = base or (Collection(parts[0].path) if parts else request.like)
    request = with_known_version(replace(request, like=model, follows=bool(base or parts)), None)
    refuse_unlike_model(request, known_settings(request))
    if base is None:
        refuse_missing_images(request.dataset, look_at_images(request.dataset))
    known = KnownRows(parts, base)
    return Night(request, base, known, compare(request.dataset, known, replace(policy, views=request.plan.views)))


def carry_out(night: Night, extract: Extract) -> int:
    """Replace the link if it says anything new, extract what is to be extracted, and return the exit status of that."""
    today, request = night.today, night.request
    if not today.extract:
        status = compared_weights(night, extract)
        if night.renewed:
            publish(night, night.known.parts)
        return status
    begun = resumable(today, request.dataset.ids, night.known)
    if begun is not None and not is_copy(night.known.parts[begun[0]].path):
        number, rows = begun
        today.held["part"][today.extract], today.held["row"][today.extract] = number, rows
        parts = publish(night, night.known.parts) if night.renewed else night.known.parts
        part = parts[number]
        try:
            return extract(job_of(night, Collection(part.path), rows), lambda _: None)
        except SpecError as error:  # other kernels by now, say
            say(f"note: {part.path} is left unfinished, and its images go into a new part: {error}", err=True)
            night = replace(night, base=Collection(request.out))
            night = replace(night, known=KnownRows(all_parts(request.out, night.base), night.base))
    return extract(job_of(night, None, range(len(today.extract))), lambda job: add_part(night, job))


def compared_weights(night: Night, extract: Extract) -> int:
    """Make sure that the weights of the command are those of the collection, where their file does not tell it.

    Raises SpecError for others, WeightsError for others than are expected.
    """
    request, base = night.request, night.base
    known = base is not None and is_remembered(request.weights, base.provenance)
    if known and not request.expected.sha256:
        return 0
    return extract(job_of(night, Collection(night.known.parts[0].path), ()), lambda _: None)


def remembered_by(night: Night) -> dict[str, object]:
    """Return where a collection comes from; of its weights what was known when it was begun."""
    about = provenance(night.request.dataset, night.request.weights)
    begun = (
        night.base.provenance if night.base else night.known.parts[0].structure.provenance if night.known.parts else {}
    )
    weights = {name: begun[name] for name in OF_WEIGHTS if name in begun}
    return {**(without(OF_WEIGHTS, about) if weights else about), **weights}


def add_part(night: Night, job: Job) -> None:
    """Name the new part of a job, which is still empty, in the link."""
    assert job.collection is not None
    today, parts = night.today, [*night.known.parts, *job.collection.parts]
    today.held["part"][today.extract] = len(parts) - 1
    today.held["row"][today.extract] = np.arange(len(today.extract))
    publish(night, parts)


def job_of(night: Night, collection: Collection | None, rows: Sequence[int]) -> Job:
    """Return the job of filling rows of a part that is there, or of a new one."""
    request, ids = night.request, night.request.dataset.ids
    whole, root = request.dataset, request.dataset.image_root
    if collection is None:
        folder = folder_of(request.out)
        made(folder)
        out, names = next_path(folder, request.part_mark), tuple(ids[row] for row in night.today.extract)
    else:
        out, names = collection.path, collection.ids
    part = replace(request, out=out, dataset=Dataset(whole.name, root, names, about=whole.about))
    there = look_at_images(part.dataset)
    return Job(part, collection, tuple(rows), missing=there.missing.intersection(rows))


def made(folder: Path) -> None:
    """Make the folder of the parts; what killed runs have left there goes. Raises OutputError."""
    try:
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error


def publish(night: Night, parts: Sequence[Part]) -> Sequence[Part]:
    """Replace the collection by a link that says where each image of today is; return its parts, where they are now.

    Raises OutputError, BusyError.
    """
    request, base = night.request, night.base
    plain = base is not None and not base.linked
    with contextlib.ExitStack() as held:
        moved = None
        if plain and base is not None:
            made(folder_of(request.out))
            held.enter_context(taken_alone(request.out))
            moved = own_name(request.out, base, request.part_mark)
        spec = parts[0].structure.spec
        create_link(request.out, request.dataset, spec, sources_of(request.out, parts, moved), remembered_by(night),
                    night.today.held, replace=True)  # fmt: skip
    return Collection(request.out).parts


def notes(night: Night) -> list[str]:
    """Return what a user may have to know."""
    lines = []
    if night.today.anew:
        lines.append(f"{night.today.anew} images have the content of another name; they are extracted anew, since "
                     "augmented views are drawn by the name")  # fmt: skip
    base, dataset = night.base, night.request.dataset
    if base is not None and np.isnan(dataset.labels).all() and not np.isnan(base.labels).all():
        lines.append(f"{int((~np.isnan(base.labels)).sum())} images have scores in {base.path}, and --dataset "
                     f"{dataset.name} has none: they are left out")  # fmt: skip
    if len(night.known.parts) >= MANY_PARTS:
        lines.append(f"{len(night.known.parts)} parts; amnet-cache compact {night.request.out} makes one file of them")
    return lines


def tell_pruned(out: Path) -> None:
    """Erase what no image of today is, and say so; not if that is most of all, as when a disk is missing."""
    collection = Collection(out)
    if collection.held is None:
        return
    parts = all_parts(out, collection)
    unnamed = sum(map(len, unnamed_rows(parts, collection.held).values()))
    if unnamed > len(collection):
        say_wrong(f"note: not pruned: {unnamed} images are gone or have changed and {len(collection)} are there; is a "
                  f"disk missing? amnet-cache compact {out} drops them all the same")  # fmt: skip
    elif unnamed:
        prune(parts, collection.held)
        say(f"{out}: features of {unnamed} images that are gone or have changed are erased", err=True)


def finish(out: Path, status: int) -> int:
    """Print what the collection holds now, and return the exit status: 1 if images have failed."""
    collection = Collection(out)
    parts = f", in {len(collection.parts)} parts" if collection.linked else ""
    summary(out, **numbers(collection), parts=len(collection.parts))
    say_done(f"{out}: {counts(collection)}{parts}")
    failed = 1 if (collection.status == FAILED).any() else 0
    return max(status, failed) if status > 1 else failed  # of a part it counts images that have changed since too
