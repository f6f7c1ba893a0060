"""What a head promises beside the equations."""

import numpy as np
import pytest
import torch

from amnet_common.errors import ShapeError
from headtrain.heads.noise import Handed
from headtrain.heads.paper import PaperHead
from headtrain.settings.configuration import override


@pytest.fixture
def head(tiny):
    torch.manual_seed(3)
    head = PaperHead(override(tiny, locations=196).head)
    head.target_mean.fill_(0.7)
    head.target_scale.fill_(4.0)
    for tensor in (head.attention.M, head.regress.out.weight):  # zero in a new head
        torch.nn.init.normal_(tensor)
    return head


def test_step_scores_add_up_to_the_score(head):
    output = head.predict(torch.rand(5, 196, 5))
    torch.testing.assert_close(output.steps.sum(1), output.score)


def test_a_new_head_predicts_the_mean_score_and_looks_everywhere_alike(tiny):
    head = PaperHead(override(tiny, locations=196).head)
    head.target_mean.fill_(0.7)
    output = head.predict(torch.rand(2, 196, 5))
    np.testing.assert_allclose(output.score, 0.7, atol=1e-6)
    np.testing.assert_allclose(output.attention, 1 / 196, rtol=1e-5)


def test_attention_weights_of_each_step_sum_to_one(head):
    torch.testing.assert_close(head.predict(torch.rand(2, 196, 5)).attention.sum(-1), torch.ones(2, 3))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_predict_takes_grids_and_lists_of_places_of_any_float_type(head, kind):
    x = np.random.default_rng(0).random((2, 14, 14, 5)).astype(np.float16)
    grid, flat = head.predict(x.astype(kind)), head.predict(torch.from_numpy(x).reshape(2, 196, 5))
    assert grid.score.dtype == torch.float32
    assert torch.equal(grid.score, flat.score)


def test_predict_is_in_evaluation_mode_and_leaves_the_module_as_it_was(head):
    x = torch.rand(2, 196, 5)
    head.train()
    first, second = head.predict(x), head.predict(x)
    assert torch.equal(first.score, second.score)
    assert head.training


def test_feature_dropout_drops_whole_channels_of_an_image(tiny):
    head = PaperHead(override(tiny, feature_dropout=0.5).head)
    kept = (torch.rand(200, 1, 5) < 0.5) * 2.0
    x = head.prepare(torch.ones(200, 6, 5), Handed([kept]))
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert set(x.unique().tolist()) == {0.0, 2.0}


def test_standardising_can_be_left_out(tiny):
    head = PaperHead(override(tiny, standardise=False).head).eval()
    head.input_mean.fill_(5.0)
    x = torch.rand(2, 6, 5)
    assert torch.equal(head.prepare(x), x)


def test_features_with_the_channels_first_are_refused(head):
    with pytest.raises(ShapeError, match=r"expected \(B, 196, 5\), channels last, found \(2, 5, 14, 14\)"):
        head.predict(torch.rand(2, 5, 14, 14))
