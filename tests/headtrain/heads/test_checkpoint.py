"""Runs on disk."""

import pickle

import pytest
import safetensors.torch
import torch

from amnet_common.errors import RunError
from headtrain.heads.checkpoint import load_head, read_provenance, save_head
from headtrain.heads.paper import PaperHead
from headtrain.heads.provenance import Provenance
from headtrain.settings.configuration import Config


@pytest.fixture
def saved(tiny, spec, tmp_path):
    """A head and the checkpoint it was saved to."""
    torch.manual_seed(1)
    head, path = PaperHead(tiny.head), tmp_path / "best.safetensors"
    torch.nn.init.normal_(head.regress.out.weight)
    save_head(path, head, Provenance(tiny, spec.as_dict(), 2, 7))
    return head, path


def test_a_checkpoint_gives_back_parameters_configuration_and_spec(saved, tiny, spec):
    head, path = saved
    found = load_head(path)
    assert found.provenance == Provenance(tiny, spec.as_dict(), 2, 7)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in head.state_dict().items())


def test_a_run_folder_stands_for_its_best_checkpoint(saved):
    _, path = saved
    x = torch.rand(2, 6, 5)
    assert torch.equal(load_head(path.parent).predict(x).score, load_head(path).predict(x).score)


def test_configurations_survive_a_round_trip(tiny):
    assert Config.from_dict(tiny.as_dict()) == tiny


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(RunError, match=r"none: expected a run folder with best\.safetensors"):
        load_head(tmp_path / "none")


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "best.safetensors"
    path.write_bytes(pickle.dumps({"model": 1}))
    with pytest.raises(RunError, match="expected a head's checkpoint"):
        read_provenance(path)


def test_other_safetensors_files_are_refused(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "best.safetensors")
    with pytest.raises(RunError, match="expected format 'amnet-head 1', found None"):
        load_head(tmp_path)


def test_parameters_that_do_not_fit_the_configuration_are_named(saved, tiny, spec):
    _, path = saved
    tensors = safetensors.torch.load_file(path)
    tensors["lstm.weight_ih"] = torch.zeros(3, 3)
    safetensors.torch.save_file(tensors, path, Provenance(tiny, spec.as_dict(), 1, 1).metadata())
    with pytest.raises(RunError, match=r"size mismatch for lstm.weight_ih"):
        load_head(path)


def test_loading_a_head_draws_no_random_numbers(saved):
    before = torch.random.get_rng_state()
    load_head(saved[1])
    assert torch.equal(torch.random.get_rng_state(), before)
