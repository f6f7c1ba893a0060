"""What the HDF5 library says of a file that anyone may have made, asked in a process that may die of it."""
