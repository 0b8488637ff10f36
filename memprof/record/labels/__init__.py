"""Who holds a storage: parameters, optimizers, caches, inputs, the user's own tags."""
