"""Why a hosted back end cannot be opened, in the words of all of them."""

from __future__ import annotations

from kreabench.core.errors import GenerationError


def no_usable_key(key_env: str) -> GenerationError:
    """The variable holds nothing, or what no header can hold."""
    return GenerationError(
        f"the environment variable {key_env} holds no usable key",
        type="authentication",
        stage="load",
        remedy=f"Set {key_env} to a key of the service.",
    )


def no_client(error: OSError) -> GenerationError:
    """The HTTP client, or its certificates: ssl.SSLError is an OSError."""
    return GenerationError(
        f"the client cannot be made: {error}",
        type="load_failed",
        stage="load",
        remedy="Check SSL_CERT_FILE and SSL_CERT_DIR.",
    )
