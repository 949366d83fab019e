"""Compile ``kith.proto`` into the description that the gRPC door reads when it starts: no generated code to keep."""

from __future__ import annotations

from pathlib import Path

from grpc_tools import protoc

FOLDER = Path(__file__).parents[1] / "src" / "kith" / "gateway"


def make(target: Path) -> Path:
    """Write the file descriptor set of ``kith.proto`` to `target`. Raises `RuntimeError` when it does not compile."""
    source = FOLDER / "kith.proto"
    if protoc.main(["protoc", f"-I{FOLDER}", f"--descriptor_set_out={target}", str(source)]):
        raise RuntimeError(f"{source.name} does not compile")
    return target


if __name__ == "__main__":
    print(make(FOLDER / "kith.binpb"))
