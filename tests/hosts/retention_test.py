"""`leakan retention`: large blocks that stay although little of them is needed, and those that only look like that."""

import dataclasses
import json
import unittest

from leaktest import LeakTest, names

MEGABYTE = 1 << 20
PAGE = 4096
PATTERNS = {"pinned", "slack", "outgrown", "idle", "survivor"}


@dataclasses.dataclass(frozen=True)
class Truth:
    """One entry: of which pattern (or of one of them), of which function's blocks."""

    pattern: str
    function: str
    bytes: int | None  # None: the library decides
    wasted: tuple  # from, to
    blocks: int = 1


def about(bytes, slack=PAGE * 4):
    return bytes - slack, bytes + slack


TRUTH = {
    # make_shared() has the counts before the object, in one block.
    "alias": Truth("pinned", "load_film", 64 * MEGABYTE + 16, about(64 * MEGABYTE)),
    "alias_apart": Truth("pinned", "load_film_apart", 64 * MEGABYTE, about(64 * MEGABYTE)),
    "slice": Truth("pinned", "read_document", 48 * MEGABYTE, about(48 * MEGABYTE)),
    "arena_survivor": Truth("pinned", "make_arena", 16 * MEGABYTE, about(16 * MEGABYTE)),
    "reserve": Truth("slack", "reserve_bytes", 64 * MEGABYTE, about(64 * MEGABYTE)),
    "ring": Truth("slack", "map_ring", 32 * MEGABYTE, about(16 * MEGABYTE)),
    "cleared": Truth("outgrown", "fill_numbers", 32 * MEGABYTE, about(32 * MEGABYTE)),
    # What is left of them is counted by numbers, or is a table of pointers to what was given back: it may be found only
    # that nothing is written any more.
    "grown": Truth("outgrown", "double_buffer", 64 * MEGABYTE, about(31 * MEGABYTE)),
    "index_burst": Truth("outgrown or idle", "index_numbers", None, (0, MEGABYTE)),
    "idle": Truth("idle", "fill_cache", 32 * MEGABYTE, (0, 0)),
    # Read, and never written: from outside it is as the one before, and nothing says that it is wasted.
    "read": Truth("idle", "fill_cache", 32 * MEGABYTE, (0, 0)),
    "queue_burst": Truth("outgrown or idle", "queue_numbers", None, (MEGABYTE, 8 * MEGABYTE)),
    "survivor": Truth("survivor", "make_table", MEGABYTE // 4, (0, 50 * MEGABYTE)),
}
IN_USE = ("written", "arena_in_use", "full", "text", "renewed", "being_filled")


class Retention(LeakTest):
    def retention(self, case, env=None):
        run = self.run_traced([self.host("large_blocks"), case], env=env)
        self.assertEqual((run.status, run.stdout, run.stderr), (0, b"", b""))
        return self.read(self.only_trace(run))

    def read(self, trace, *options):
        data = json.loads(self.leakan("retention", "--format", "json", *options, trace).stdout)
        self.assertEqual(data["schema"], "leakan.retention.v1")
        self.limits = data["limits"]
        for entry in data["retention"]:
            self.assertIn(entry["pattern"], PATTERNS)
            self.assertLessEqual(0, entry["wasted_bytes"])
            self.assertGreater(entry["blocks"], 0)
        return data["retention"]

    def check(self, case):
        truth = TRUTH[case]
        entries = self.retention(case)
        described = json.dumps(entries, indent=1)[:4000]
        self.assertEqual(len(entries), 1, described)
        (entry,) = entries
        self.assertIn(entry["pattern"], truth.pattern.split(" or "), described)
        self.assertTrue(any(names(frame["function"], truth.function) for frame in entry["stack"]), described)
        self.assertEqual(entry["blocks"], truth.blocks, described)
        if truth.bytes is not None:
            self.assertEqual(entry["bytes"], truth.bytes, described)
        self.assertLessEqual(truth.wasted[0], entry["wasted_bytes"], described)
        self.assertLessEqual(entry["wasted_bytes"], truth.wasted[1], described)
        self.assertTrue(entry["kept_by"], described)
        self.assertTrue(entry["evidence"], described)


    def test_without_a_snapshot_the_trace_says_what_it_can(self):
        off = {"LEAK_SNAPSHOT": "off"}
        (survivor,) = self.retention("survivor", off)
        self.assertEqual((survivor["pattern"], survivor["bytes"]), ("survivor", MEGABYTE // 4))
        (grown,) = self.retention("grown", off)
        self.assertEqual((grown["pattern"], grown["bytes"], grown["wasted_bytes"]), ("outgrown", 64 * MEGABYTE, 0))
        self.assertEqual(self.retention("alias", off), [])
        self.assertIn("There is no snapshot", self.limits[0])
        self.assertIn("LEAK_SNAPSHOT=off", self.limits[0])

    def test_how_much_must_be_idle(self):
        trace = self.only_trace(self.run_traced([self.host("large_blocks"), "idle"]))
        self.assertEqual([entry["pattern"] for entry in self.read(trace, "--idle-bytes", "31M")], ["idle"])
        self.assertEqual(self.read(trace, "--idle-bytes", "33M"), [])

    def test_what_is_not_written_is_known_to_the_page(self):
        (entry,) = self.retention("idle_mostly")
        self.assertEqual((entry["pattern"], entry["wasted_bytes"]), ("idle", 0))
        # Its first and its last page belong to others, too. Of those between page 20 is written, and each 20th from it.
        whole_pages = 32 * MEGABYTE // PAGE - 1
        self.assertEqual(entry["evidence"]["resident_bytes"], whole_pages * PAGE)
        self.assertEqual(entry["evidence"]["idle_bytes"], (whole_pages - whole_pages // 20) * PAGE)

    def test_what_a_child_writes_is_the_childs(self):
        run = self.run_traced([self.host("large_blocks"), "idle_beside_child"])
        self.assertEqual((run.status, len(run.traces)), (0, 9))
        found = [self.read(trace) for trace in run.traces]
        (entry,) = [entry for entries in found for entry in entries if entry["pattern"] == "idle"]
        self.assertEqual(entry["bytes"], 32 * MEGABYTE)
        self.assertTrue(any(names(frame["function"], "fill_cache") for frame in entry["stack"]))


def add(name, test):
    setattr(Retention, "test_" + name, test)


for retained in TRUTH:
    add(retained, lambda self, case=retained: self.check(case))
for used in IN_USE:
    add(used + "_is_none", lambda self, case=used: self.assertEqual(self.retention(case), []))

if __name__ == "__main__":
    unittest.main()
