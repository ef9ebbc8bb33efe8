"""How golden files are written: the same values make the same bytes."""

import json

from safetensors.numpy import save


def write(folder, name, tensors, **metadata):
    """Writes one file into a folder, with a sorted header."""
    data = save(tensors, metadata=metadata)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8:start]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[start:])
