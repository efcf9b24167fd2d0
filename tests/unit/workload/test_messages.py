import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

from meshwarden.adapters.spiffe import messages

PROTO = Path(messages.__file__).with_name("workload.proto")


def shape(file: FileDescriptorProto) -> dict[str, object]:
    """Return names, numbers and types; not what compilers add for convenience."""
    found: dict[str, object] = {}
    for message in file.message_type:
        for one in (message, *message.nested_type):
            for field in one.field:
                name = f"{message.name}.{one.name}.{field.name}"
                found[name] = (field.number, field.type, field.label, field.type_name)
    return found


def test_the_messages_are_those_of_the_proto_file(tmp_path: Path) -> None:
    out = tmp_path / "set"
    include = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{PROTO.parent}", f"-I{include}", f"--descriptor_set_out={out}"]
    assert protoc.main([*arguments, PROTO.name]) == 0
    [compiled] = FileDescriptorSet.FromString(out.read_bytes()).file
    assert shape(messages.describe_file()) == shape(compiled)
    assert {one.name for one in compiled.message_type} == {
        one.name for one in messages.describe_file().message_type
    }


def test_an_independent_client_in_the_same_process_does_not_clash() -> None:
    theirs = pytest.importorskip("spiffe._proto.workload_pb2")
    assert sys.modules["spiffe._proto.workload_pb2"] is theirs
    ours = messages.X509SVIDResponse(
        svids=[messages.X509SVID(spiffe_id="spiffe://a.example/b", x509_svid=b"c")],
        federated_bundles={"p.example": b"d"},
    )
    read = theirs.X509SVIDResponse.FromString(ours.SerializeToString())
    assert (read.svids[0].x509_svid, dict(read.federated_bundles)) == (b"c", {"p.example": b"d"})
