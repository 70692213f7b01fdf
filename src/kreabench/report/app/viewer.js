// Two pictures of the same prompt and seed, compared.
