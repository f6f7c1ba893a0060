"""The page of `amnet-head app`: photographs are dropped, and what a head says of them is shown."""
