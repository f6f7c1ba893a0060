"""How heads are computed: many at once, in which arithmetic, by which kernels."""
