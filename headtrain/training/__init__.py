"""The training of heads, epoch by epoch, to a tested result."""
