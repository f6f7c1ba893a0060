"""Many heads for one pass over the features: every combination of some settings, in as few banks as memory allows."""
