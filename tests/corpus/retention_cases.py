"""The truth about large blocks: what `leakan retention` must say of the programs of the corpus.

A truth is a pattern, or a set of patterns where each of them is right. Blocks of functions that are not named, and all
of those in look-alikes, must not be listed.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class RetentionCase:
    name: str
    command: str  # program and arguments
    truth: dict = dataclasses.field(default_factory=dict)  # {function: pattern or set of patterns}
    marks: bool = True
    killed: bool = False
    environment: dict = dataclasses.field(default_factory=dict)


RETENTION_CASES = [
    RetentionCase("pinned-thumbnails", "kept_parts thumbnails", {"Gallery::decode": "pinned"}),
    RetentionCase("pinned-titles", "kept_parts titles", {"Library::read": "pinned"}),
    RetentionCase("pinned-arena", "kept_parts arena", {"Arena::allocate": "pinned"}),
    RetentionCase("slack-batch", "oversized batch", {"Batch::make_room": "slack"}),
    RetentionCase("slack-ring", "oversized ring", {"Ring::map": "slack"}),
    RetentionCase("slack-slots", "oversized slots", {"SlotTable::allocate": "slack"}),
    RetentionCase("outgrown-scratch", "outgrown scratch", {"Scratch::fill": "outgrown"}),
    RetentionCase("outgrown-text", "outgrown text", {"Page::build": "outgrown"}),
    RetentionCase("outgrown-index", "outgrown index", {"Index::build": {"outgrown", "idle"}}),
    RetentionCase("idle-cache", "idle_tables cache", {"PriceCache::fill": "idle"}),
    # From outside as the one before: idle means not written, and nothing of it is called wasted.
    RetentionCase("idle-cache-read", "idle_tables cache-read", {"PriceCache::fill": "idle"}),
    RetentionCase("idle-frames", "idle_tables frames", {"Frames::make_second": "idle"}),
    RetentionCase("idle-import", "idle_tables import", {"Import::read": "idle"}),
    RetentionCase("survivor-lines", "survivors lines", {"Report::add_line": "survivor"}),
    RetentionCase("survivor-sessions", "survivors sessions", {"Sessions::open": "survivor"}),
    # Look-alikes.
    RetentionCase("thumbnails-copied", "kept_parts thumbnails-copied"),
    RetentionCase("words", "kept_parts words"),
    RetentionCase("arena-in-use", "kept_parts arena-in-use"),
    RetentionCase("batch-fitting", "oversized batch-fitting"),
    RetentionCase("ring-full", "oversized ring-full"),
    RetentionCase("slots-being-filled", "oversized slots-being-filled"),
    RetentionCase("scratch-steady", "outgrown scratch-steady"),
    RetentionCase("text-full", "outgrown text-full"),
    RetentionCase("index-in-use", "outgrown index-in-use"),
    RetentionCase("cache-hot", "idle_tables cache-hot"),
    RetentionCase("frames-in-turn", "idle_tables frames-in-turn"),
    RetentionCase("import-again", "idle_tables import-again"),
    RetentionCase("lines-released", "survivors lines-released"),
    RetentionCase("lines-kept", "survivors lines-kept"),
    RetentionCase("sessions-renewed", "survivors sessions-renewed"),
]
