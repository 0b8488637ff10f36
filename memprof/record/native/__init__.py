"""The allocator observer: sees every allocation and free, also inside operators and graphs."""
