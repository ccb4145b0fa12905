"""Pack pixels as on the MIPI CSI-2 bus, bit by bit.

An independent reference for `models.images.packed_raw`.
"""

import numpy as np


def packed(values, bits):
    """Pack (H, W) values below 2 ** bits.

    The low bits of a group follow its high bytes, first pixel lowest.
    """
    count = 2 if bits == 12 else 4
    rows = []
    for row in np.pad(values, ((0, 0), (0, -values.shape[1] % count))).tolist():
        content = bytearray()
        for at in range(0, len(row), count):
            group = row[at : at + count]
            content += bytes(value >> (bits - 8) for value in group)
            low = sum((value % 2 ** (bits - 8)) << (index * (bits - 8)) for index, value in enumerate(group))
            content += low.to_bytes(count * (bits - 8) // 8, "little")
        rows.append(np.frombuffer(bytes(content), np.uint8))
    return np.stack(rows)
