"""Networks: the integer graph, import, folding, the streaming top and its emission."""
