"""Stacks, whatever the control flow: exact frames, exceptions, longjmp, fibers, depth."""

from leaktest import LeakTest, names


class Stacks(LeakTest):
    def own_frames(self, site, until="main"):
        frames = []
        for frame in site.raw["stack"]:
            frames.append(frame)
            if names(frame.get("function"), until):
                break
        return frames

    def test_the_frames_are_exactly_those_of_the_program(self):
        report = self.report_of(self.run_both([self.host("call_chain")]))
        self.assert_left(report, "outer", 4, 201 + 3 * 101, "malloc")
        for site in report.sites_of("outer"):
            frames = self.own_frames(site)
            for frame, function in zip(frames, ("inner", "middle", "outer", "main"), strict=True):
                self.assertTrue(names(frame["function"], function), site.frames)
                self.assertTrue(frame["file"].endswith("call_chain.cpp"))
                self.assertGreater(frame["line"], 0)
            self.assertEqual([frame["inlined"] for frame in frames], [False, True, False, False])
        self.assertEqual(sorted((site.blocks, site.bytes) for site in report.sites_of("outer")),
                         [(1, 201), (3, 303)], "two calls in main are two stacks")

    def test_mutual_recursion_keeps_its_order(self):
        report = self.report_of(self.run_both([self.host("call_chain")]))
        (odd_end,) = [site for site in report.sites if site.bytes == 88]
        (even_end,) = [site for site in report.sites if site.bytes == 99]
        for site, expected in ((odd_end, ["odd", "even"] * 4), (even_end, ["even", "odd"] * 4 + ["even"])):
            frames = [frame["function"] for frame in self.own_frames(site)][:-1]
            self.assertEqual(len(frames), len(expected), frames)
            self.assertTrue(all(map(names, frames, expected)), frames)

    def test_deep_recursion_is_cut_at_the_outer_end(self):
        report = self.report_of(self.run_both([self.host("call_chain")]))
        sites = sorted(report.sites_of("deep"), key=lambda site: len(site.frames))
        self.assertEqual([site.blocks for site in sites], [1, 1])
        self.assertEqual(sum(names(frame, "deep") for frame in sites[0].frames), 11)
        self.assertIn("main", sites[0])
        self.assertEqual(len(sites[1].frames), 256)
        self.assertTrue(all(names(frame, "deep") for frame in sites[1].frames))

    def test_the_depth_limit_can_be_set(self):
        run = self.run_traced([self.host("call_chain")], env={"LEAK_DEPTH": "3"})
        report = self.report_of(run)
        for site in report.sites_of("outer"):
            physical = [frame for frame in site.raw["stack"] if not frame["inlined"]]
            self.assertEqual(len(physical), 3)
            self.assertTrue(names(physical[0]["function"], "inner"))
        deep = self.report_of(self.run_traced([self.host("call_chain")], env={"LEAK_DEPTH": "1024"}))
        self.assertEqual(max(sum(names(frame, "deep") for frame in site.frames) for site in deep.sites), 1001)

    def test_exceptions_through_many_frames(self):
        run = self.run_both([self.host("exceptions")])
        self.assertEqual(run.stdout, b"caught 550, destroyed 30800\n")
        report = self.report_of(run)
        self.assert_left(report, "descend", 0, 0)
        self.assert_left(report, "rethrow", 0, 0)
        blocks, _ = report.left("keep_exception")
        self.assertEqual(blocks, 3, report.describe())  # the pointer, the exception, its text
        self.assert_sound(report)

    def test_longjmp(self):
        report = self.report_of(self.run_both([self.host("long_jump")]))
        self.assert_left(report, "jumped_over", 100, 3100, "malloc")
        self.assert_left(report, "after_jump", 100, 3200, "malloc")
        self.assert_left(report, "after_jump_deeper", 50, 1600, "malloc")
        for site in report.sites_of("after_jump"):
            self.assertNotIn("jumped_over", site)
            self.assertNotIn("jump", site)
        self.assertEqual({sum(names(frame, "jumped_over") for frame in site.frames)
                          for site in report.sites_of("jumped_over")}, set(range(1, 31)))
        self.assert_sound(report)

    def test_fibers(self):
        run = self.run_both([self.host("fibers")])
        self.assertEqual(run.stdout, b"back\n")
        report = self.report_of(run)
        self.assert_left(report, "red_block", 100, 3500, "malloc")
        self.assertEqual(report.left("blue_block"), (100, 3600))
        for site in report.sites_of("red_block"):
            self.assertIn("red_fiber", site)
            self.assertNotIn("blue_fiber", site)
        for site in report.sites_of("blue_block"):
            self.assertIn("blue_fiber", site)
            self.assertNotIn("red_fiber", site)
        self.assert_sound(report)
