// Cost against quality.
