"""One folder for each kind of thing that is kept. `base` is the contract, `registry` knows the kinds."""
