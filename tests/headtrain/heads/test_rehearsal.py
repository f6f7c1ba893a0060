"""What is found out about a head of one's own before it trains."""

import pytest
import torch
from torch import nn

from amnet_common.errors import ConfigError
from headtrain.heads.architectures import new_head
from headtrain.heads.head import Head, Output
from headtrain.heads.rehearsal import rehearse
from headtrain.settings.configuration import override
from headtrain.settings.presets import RELEASED

B, L, D = 7, 6, 5


class Scored(Head):
    """A head whose score is one product; a child says what else it does."""

    def __init__(self, config):
        super().__init__(config)
        self.layer, self.rate = nn.Linear(config.channels, 1), nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x, noise):
        y = self.layer(self.besides(x.mean(1), noise)).squeeze(-1)
        return Output(y, y[:, None], torch.full((len(x), 1, x.shape[1]), 1 / x.shape[1]))

    def besides(self, z, noise):
        return noise.drop(z, 0.5)


@pytest.fixture
def small_released():
    return override(RELEASED, locations=L, channels=D, hidden=4, regress_hidden=3)


def test_dropout_is_listed_in_the_order_of_the_pass_with_its_shapes(tiny):
    head = new_head(override(tiny, steps=2, feature_dropout=0.4, attention_dropout=0.0, regress_dropout=0.3).head)
    look = [(0.0, (B, L, D)), (0.3, (B, 4)), (0.3, (B, 3))]
    assert [tuple(site) for site in rehearse(head, B).sites] == [(0.4, (B, 1, D)), *look, *look]


def test_a_rehearsal_leaves_the_head_as_it_was(small_released):
    head = new_head(small_released.head).eval()
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    rehearse(head, B)
    assert not head.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in head.state_dict().items())


def test_a_head_without_values_is_rehearsed_as_one_with_them(small_released):
    with torch.device("meta"):
        empty = new_head(small_released.head)
    assert rehearse(empty, B) == rehearse(new_head(small_released.head), B)
    assert rehearse(empty, 2 * B).kept > 1.8 * rehearse(empty, B).kept


class OwnDropout(Scored):
    def besides(self, z, noise):  # noqa: ARG002
        return self.rate(z)


class Branching(Scored):
    def besides(self, z, noise):
        return noise.drop(z, 0.5) if z.sum() > 0 else z


class Rebinding(Scored):
    def besides(self, z, noise):
        self.seen = self.seen + 1
        return noise.drop(z, 0.5)


class Misshapen(Scored):
    def forward(self, x, noise):
        return super().forward(x, noise)._replace(attention=torch.ones(len(x), 1))


class Bare(Scored):
    def forward(self, x, noise):
        return super().forward(x, noise).score


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (OwnDropout, "expected noise.drop(x, share) for all that is random, found aten.bernoulli_"),
        (Branching, "expected no branches on values of tensors, found one on "),
        (Rebinding, "expected buffers that are changed in place, found seen bound to another tensor"),
        (Misshapen, f"expected attention ({B}, 1, {L}), found ({B}, 1)"),
        (Bare, "expected an Output, found a Tensor"),
    ],
)
def test_a_head_that_could_not_train_is_refused_in_one_line(tiny, kind, line):
    with pytest.raises(ConfigError) as caught:
        rehearse(kind(tiny.head.with_own("own.py:Own", "00", {})), B)
    assert str(caught.value).startswith(f"{kind.__name__}.forward: {line}")
    assert "\n" not in str(caught.value)


def test_a_head_with_a_batchnorm_sees_its_batch_whole(tiny, small_released):
    assert new_head(small_released.head).whole_batch
    assert not new_head(tiny.head).whole_batch
