"""Allocation functions: what each leaves behind, to the block, the byte, the kind and the stack."""

from leaktest import LeakTest


class AllocationFunctions(LeakTest):
    def test_every_c_function_is_recorded_with_its_kind(self):
        report = self.report_of(self.run_both([self.host("alloc_functions")]))
        self.assert_left(report, "by_malloc", 1, 101, "malloc")
        self.assert_left(report, "by_calloc", 1, 102, "calloc")
        self.assert_left(report, "by_realloc", 1, 103, "realloc")
        self.assert_left(report, "by_reallocarray", 1, 104, "reallocarray")
        self.assert_left(report, "by_posix_memalign", 1, 105, "posix_memalign")
        self.assert_left(report, "by_aligned_alloc", 1, 192, "aligned_alloc")
        self.assert_left(report, "by_memalign", 1, 107, "memalign")
        self.assert_left(report, "by_valloc", 1, 108, "valloc")
        self.assert_left(report, "by_pvalloc", 1, 109, "pvalloc")
        self.assert_left(report, "by_strdup", 1, 13, "malloc")
        # The program has no C++ run-time: these 20 allocations and 10 releases are all there is.
        self.assertEqual(report.summary["allocations"], 20, report.describe())
        self.assertEqual(report.summary["releases"], 10)
        self.assertEqual(report.summary["unfreed_blocks"], 10)
        self.assertEqual(report.summary["unfreed_bytes"], 101 + 102 + 103 + 104 + 105 + 192 + 107 + 108 + 109 + 13)
        self.assertEqual(report.summary["allocated_bytes"], 2 * report.summary["unfreed_bytes"])
        self.assertEqual(report.summary["threads"], 1)
        self.assert_sound(report)
        self.assert_no_frames_of_ours(report)

    def test_the_function_that_called_is_the_innermost_frame(self):
        report = self.report_of(self.run_both([self.host("alloc_functions")]))
        for function in ("by_malloc", "by_calloc", "by_realloc", "by_reallocarray", "by_posix_memalign",
                         "by_aligned_alloc", "by_memalign", "by_valloc", "by_pvalloc"):
            (site,) = report.sites_of(function)
            self.assertIn(function, site.frames[0])
            self.assertTrue(site.raw["stack"][0]["file"].endswith("alloc_functions.cpp"), site.raw["stack"][0])
            self.assertGreater(site.raw["stack"][0]["line"], 0)

    def test_realloc_that_grows_shrinks_fails_and_frees(self):
        report = self.report_of(self.run_both([self.host("realloc_forms")]))
        self.assert_left(report, "grow", 1, 4096, "realloc")
        self.assert_left(report, "shrink", 1, 50, "realloc")
        self.assert_left(report, "survivor_of_realloc", 1, 77, "malloc")
        self.assert_left(report, "survivor_of_reallocarray", 1, 78, "malloc")
        self.assert_left(report, "survivor_of_overflow", 1, 79, "malloc")
        self.assert_left(report, "freed_by_realloc", 0, 0)
        self.assert_left(report, "zero_of_null", 1, 0, "realloc")
        self.assert_left(report, "array_block", 1, 120, "reallocarray")
        self.assert_left(report, "first_block", 0, 0)
        self.assertEqual(report.summary["unfreed_blocks"], 7, report.describe())
        # malloc: 3 first, 3 survivors, 1 freed by realloc; realloc: 12 + 1 + 1; reallocarray: 1
        self.assertEqual(report.summary["allocations"], 7 + 14 + 1)
        self.assert_sound(report)

    def test_blocks_of_no_bytes_are_blocks(self):
        report = self.report_of(self.run_both([self.host("malloc_zero")]))
        self.assert_left(report, "zero_by_malloc", 1, 0, "malloc")
        self.assert_left(report, "zero_by_calloc", 1, 0, "calloc")
        self.assert_left(report, "zero_by_new", 1, 0, "new")
        self.assert_left(report, "zero_by_new_array", 1, 0, "new[]")
        self.assert_sound(report)

    def test_alignment_is_kept_and_failing_calls_record_nothing(self):
        report = self.report_of(self.run_both([self.host("aligned_forms")]))
        self.assert_left(report, "aligned_to", 14, 14 * 40, "posix_memalign")
        self.assertEqual(report.summary["allocations"], 14, report.describe())
        self.assert_sound(report)

    def test_every_form_of_new_and_delete(self):
        report = self.report_of(self.run_both([self.host("new_forms")]))
        self.assert_left(report, "by_new", 1, 201, "new")
        self.assert_left(report, "by_new_nothrow", 1, 202, "new")
        self.assert_left(report, "by_new_array", 1, 203, "new[]")
        self.assert_left(report, "by_new_array_nothrow", 1, 204, "new[]")
        self.assert_left(report, "by_new_aligned", 1, 205, "new(align)")
        self.assert_left(report, "by_new_aligned_nothrow", 1, 206, "new(align)")
        self.assert_left(report, "by_new_array_aligned", 1, 207, "new[](align)")
        self.assert_left(report, "by_new_array_aligned_nothrow", 1, 208, "new[](align)")
        self.assert_left(report, "failing_forms", 0, 0)
        self.assert_left(report, "new_handler", 0, 0)
        self.assert_sound(report)
        self.assert_no_frames_of_ours(report)

    def test_released_by_the_wrong_function(self):
        report = self.report_of(self.run_both([self.host("mismatches")]))
        self.assert_sound(report, mismatches=5)
        for function in ("new_for_free", "malloc_for_delete", "array_for_delete", "new_for_array_delete",
                         "array_for_free"):
            self.assert_left(report, function, 0, 0)

    def test_errno_and_usable_sizes_are_as_untraced(self):
        run = self.run_both([self.host("errno_kept")])
        self.assertEqual(run.status, 0, run.stdout)
        self.assert_sound(self.report_of(run))

    def test_mappings_are_recorded_and_their_contents_left_alone(self):
        run = self.run_both([self.host("mappings")])
        self.assertEqual(run.status, 0, run.stdout)
        dump = "\n".join(self.dump(self.only_trace(run)))
        for kind in ("mmap", "munmap", "mremap", "mremap_release", "unmap_undo"):
            self.assertRegex(dump, rf"(?m)\b{kind}\b")
        self.assert_sound(self.report_of(run))

    def test_a_small_program_has_one_thread_and_no_children(self):
        run = self.run_both([self.host("small_program")])
        self.assertIn(b"threads 1\n", run.stdout)

    def test_a_program_that_allocates_nothing_leaves_no_file(self):
        run = self.run_both([self.host("no_events")], status=3)
        self.assertEqual(run.status, 3)
        self.assertEqual(run.traces, [])

    def test_the_dump_has_one_line_an_event(self):
        run = self.run_both([self.host("alloc_functions")])
        lines = self.dump(self.only_trace(run))
        for kind, count in (("calloc", 2), ("pvalloc", 2), ("free", 10), ("malloc", 4)):
            with_kind = [line for line in lines if kind in line.split()]
            self.assertEqual(len(with_kind), count, "\n".join(lines))


class PublicInterface(LeakTest):
    def test_marks_custom_blocks_and_a_stretch_that_is_not_recorded(self):
        run = self.run_both([self.host("api")])
        report = self.report_of(run)
        self.assert_left(report, "pool_take", 1, 100, "leak_alloc")
        self.assert_left(report, "not_recorded", 0, 0)
        self.assert_left(report, "recorded_again", 1, 500, "malloc")
        self.assert_sound(report)
        info = self.leakan("info", self.only_trace(run)).stdout.decode()
        self.assertRegex(info, r"(?s)\bbefore\b.*\bafter\b")

    def test_without_the_library_the_calls_do_nothing(self):
        run = self.run_plain([self.host("api")])
        self.assertEqual((run.status, run.stdout), (0, b"done\n"))

    def test_recording_can_start_switched_off(self):
        run = self.run_traced([self.host("api")], env={"LEAK_START": "off"})
        report = self.report_of(run)
        self.assert_left(report, "pool_take", 0, 0)
        self.assert_left(report, "recorded_again", 1, 500, "malloc")
