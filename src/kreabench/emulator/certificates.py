"""A certificate authority of its own, as the fal client insists on https."""

from __future__ import annotations

from pathlib import Path

import trustme

from kreabench.emulator.service import QUEUE_HOST, RUN_HOST


def write_certificates(folder: Path) -> tuple[Path, Path]:
    """Files of the authority, which clients are to trust, and of the server with its private key."""
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    authority = trustme.CA()
    certificate = authority.issue_cert(RUN_HOST, QUEUE_HOST)
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(server_file))
    return ca_file, server_file
