"""What `identity revoke` sends of a file: certificates, whatever else is in it."""

from pathlib import Path

import pytest

from meshwarden.cli.identity_revoke import target_of
from meshwarden.kernel import InputError


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_whatever_stands_where_in_a_file_only_its_certificates_are_sent(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    blocks = [
        f"-----BEGIN {name}-----\n{body}\n-----END {name}-----\n"
        for name, body in [("PRIVATE KEY", "c2VjcmV0"), ("CERTIFICATE", "YQ=="), ("CERTIFICATE", "Yg==")]
    ]  # fmt: skip
    file = tmp_path / "all.pem"
    file.write_text("".join(blocks[place] for place in order))
    sent = target_of(str(file))
    assert "PRIVATE" not in sent
    assert "c2VjcmV0" not in sent
    assert sent.index("YQ==") < sent.index("Yg==")


def test_a_file_without_a_certificate_is_not_sent_at_all(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(InputError) as refused:
        target_of(str(file))
    assert refused.value.code == "identity.pem"
    assert "c2VjcmV0" not in str(refused.value)
