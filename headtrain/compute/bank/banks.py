"""The bank that a number of heads fit in."""

from headtrain.compute.bank.bank import Bank

new_bank = Bank
