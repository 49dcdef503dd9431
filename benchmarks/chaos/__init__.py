"""Jobs under faults: the whole service in processes of its own, which are killed, frozen and cut off."""
