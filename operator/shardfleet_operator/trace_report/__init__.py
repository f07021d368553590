"""``shardfleet report DIR``: a trace as one page to look at. What is right and wrong, the checker says."""

from .page import render
from .story import Progress, Story, read_story
from .writing import PAGE_NAME, check_place, write_page

__all__ = ["PAGE_NAME", "Progress", "Story", "check_place", "read_story", "render", "write_page"]
