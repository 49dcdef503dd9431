"""What is freed is given back, too."""

import psutil

from app.engine.memory import give_back_memory


def test_memory_between_blocks_in_use_is_given_back() -> None:
    process = psutil.Process()
    blocks = [bytearray(4000) for _ in range(25_000)]
    kept = blocks[::500]
    del blocks
    before = process.memory_info().rss
    give_back_memory()
    assert before - process.memory_info().rss > 50 * 2**20
    assert len(kept) == 50
