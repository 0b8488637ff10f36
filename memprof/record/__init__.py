"""How facts are observed: everything that touches PyTorch while the program runs."""
