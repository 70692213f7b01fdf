"""Ways to make a local pipeline faster or smaller: what there is, what it needs, what clashes, how it is put on."""
