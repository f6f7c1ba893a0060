"""What both architectures of a bank share."""

from collections.abc import Sequence

from torch import Tensor

from headtrain.compute.bank.layers import LstmWeights, linear, stacked_draws
from headtrain.compute.bank.stacks import stack
from headtrain.heads.dropout import Dropout
from headtrain.heads.head import Head, Output

DropoutSite = tuple[str, tuple[int, ...]]
Noise = Sequence[Tensor | None]  # (N, ...) each, broadcasting over what it multiplies; None: no head drops any


class Bank:
    """Hold N heads of one shape and one training list, in training. The heads stay whole heads; their memory is common.

    Attributes: `heads`, `config` (of the first head; the others' differ in dropout only), `device`, `parameters` and
    `buffers`, (N, ...) each by their names in a head.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self.heads, self.config, self.device = list(heads), heads[0].config, heads[0].target_mean.device
        self.parameters, self.buffers = stack(heads)

    def forward(self, x: Tensor, noise: Noise) -> Output:
        """Compute each head's output for the same x (B, L, D): score (N, B), steps (N, B, T), attention (N, B, T, L).

        It draws nothing itself: `noise` is what `draw` gave for B images.
        """
        raise NotImplementedError

    def dropout_sites(self) -> list[DropoutSite]:
        """List every dropout of a forward pass in its order: its name in a head, the shape of one image's values."""
        raise NotImplementedError

    def draw(self, images: int) -> Noise:
        """Draw the dropout factors of one forward pass of so many images, from each head's own generator."""
        return [self.factors(name, (images, *shape)) for name, shape in self.dropout_sites()]

    def factors(self, name: str, shape: Sequence[int]) -> Tensor | None:
        """Draw the factors (N, ...) of the dropout called `name`, for values of `shape` in each head; None for none."""
        return stacked_draws(self.dropouts(name), shape, self.device)

    def lstm_weights(self, lstm: str, layer: str = "") -> LstmWeights:
        """Return the parameters of the LSTM called `lstm`; `layer` is what their names end in."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return LstmWeights(*(self.parameters[f"{lstm}.{name}{layer}"] for name in names))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Apply the linear layer called `name`: x (N, B, I), or (B, I) for all heads, to (N, B, O)."""
        return linear(x, self.parameters[f"{name}.weight"], self.parameters.get(f"{name}.bias"))

    def dropouts(self, name: str) -> list[Dropout]:
        """Return the dropout called `name` of each head."""
        found = [head.get_submodule(name) for head in self.heads]
        return [layer for layer in found if isinstance(layer, Dropout)]

    def zero_grad(self) -> None:
        """Set all gradients to 0, in place: the heads' own are views of them."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()
