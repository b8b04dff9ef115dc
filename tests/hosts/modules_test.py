"""Plugins: names are those of the module that was mapped when the block was made."""

from leaktest import LeakTest


class Modules(LeakTest):
    def test_leaks_of_a_plugin_that_was_closed_have_names(self):
        run = self.run_both([self.host("plugin_host"), "once", self.host("plugin_red.so")])
        report = self.report_of(run)
        self.assert_left(report, "leak_in_red_plugin", 3, 144, "malloc")
        for site in report.sites_of("leak_in_red_plugin"):
            self.assertTrue(site.raw["stack"][0]["module"].endswith("/plugin_red.so"))
            self.assertIn("plugin_run", site)
            self.assertIn("main", site)
        self.assertEqual(report.summary["unmatched_releases"], 0)

    def test_two_plugins_in_turn_at_the_same_address(self):
        run = self.run_both([self.host("plugin_host"), "in_turn", self.host("plugin_red.so"),
                             self.host("plugin_sky.so")])
        self.assertEqual(run.stdout, b"at the same address: always\n")
        report = self.report_of(run)
        self.assert_left(report, "leak_in_red_plugin", 20, 960, "malloc")
        self.assert_left(report, "leak_in_sky_plugin", 20, 960, "malloc")
        for color in ("red", "sky"):
            for site in report.sites_of(f"leak_in_{color}_plugin"):
                self.assertTrue(site.raw["stack"][0]["module"].endswith(f"/plugin_{color}.so"), site.raw)

    def test_a_plugin_in_a_namespace_of_its_own_does_no_harm(self):
        run = self.run_both([self.host("plugin_host"), "new_namespace", self.host("plugin_red.so")])
        self.assertEqual(run.status, 0)
        self.assert_left(self.report_of(run), "churn", 0, 0)

    def test_a_plugin_that_is_missing_gives_the_same_error(self):
        run = self.run_both([self.host("plugin_host"), "missing", "/nonexistent/plugin.so"])
        self.assertIn(b"/nonexistent/plugin.so: cannot open", run.stdout)

    def test_threads_load_plugins_while_threads_allocate(self):
        run = self.run_both([self.host("plugin_host"), "threads", self.host("plugin_red.so")], timeout=60)
        report = self.report_of(run)
        self.assert_left(report, "leak_in_red_plugin", 200, 200 * 48, "malloc")
        self.assert_left(report, "churn", 0, 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)

    def test_a_library_that_allocates_first_under_a_lock_of_libc(self):
        run = self.run_both([self.host("early_library_host")])
        self.assertIn(b"early_library, no error", run.stdout)

    def test_a_cxx_plugin_in_a_c_program(self):
        run = self.run_both([self.host("c_host"), self.host("plugin_cxx.so")])
        self.assertEqual(run.stdout, b"50 caught\n")
        report = self.report_of(run)
        # But for what the loader makes at the first touch of libstdc++'s thread-local data.
        self.assertEqual([site.frames for site in report.sites_of("fail_at") if "__tls_get_addr" not in site], [])
        # The record (a string and a vector), the string's text, the vector's 100 values.
        blocks, bytes = report.left("leak_record")
        text = len("a name that does not fit into the string itself") + 1
        self.assertEqual((blocks, bytes), (3, 56 + text + 400), report.describe())
        self.assertIn("new", report.kinds_of("leak_record"))
        self.assertEqual(report.summary["mismatches"], 0)
        self.assertEqual(report.summary["unmatched_releases"], 0)

    def test_a_static_program_ends_as_it_does_untraced(self):
        run = self.run_both([self.host("static_program")])
        self.assertEqual(run.status, 0)
        self.assertEqual(run.traces, [])
