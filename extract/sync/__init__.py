"""`amnet-extract --sync`: a collection kept in step with a folder or table.

The collection is a link that says of every image which row of which part it is; its parts lie in a folder beside it,
and each run that finds something new begins one. Nothing is ever written over: the link is replaced as a whole.
"""
