"""The truth about the programs class_*.cpp: how many blocks of each class a function leaves behind."""

import collections

from leaktest import HOSTS, names

CLASSES = ("unreachable", "indirect", "interior_only", "reachable", "unknown")


def counts(**of_class):
    return {name: of_class.get(name, 0) for name in CLASSES}


def reachable(blocks=1):
    return counts(reachable=blocks)


def interior_only(blocks=1):
    return counts(interior_only=blocks)


def lost(leaders=1, indirect=0):
    return counts(unreachable=leaders, indirect=indirect)


class Either(tuple):
    """Each of these is right: nothing says that one must be found."""


COMMANDS = {
    "class_roots": [HOSTS / "class_plugin_open.so", HOSTS / "class_plugin_closed.so"],
    "class_blocks": [],
    "class_cxx": [],
    "class_old_string": [],
    "class_registered": [],
}

TRUTH = {
    "class_roots": {
        "in_data": reachable(),
        "in_bss": reachable(),
        "in_plugin_data": reachable(),
        "in_closed_plugin": lost(),
        "on_stack_of_main": reachable(),
        "on_stack_of_blocked": reachable(),
        "on_stack_of_spinning": reachable(),
        "on_stack_of_fiber": reachable(),
        # Limited: glibc keeps the stacks of ended threads for others.
        "on_stack_of_ended": Either([lost(), reachable()]),
        # Limited, unless LEAK_REGISTERS=all: a copy of the process has the registers of one thread. What waits in a
        # system call has seldom a pointer in a register alone.
        "in_register": Either([reachable(), lost()]),
        "in_thread_local_of_main": reachable(),
        "in_thread_local_of_other": reachable(),
        "in_dynamic_thread_local_of_main": reachable(),
        # Limited: the thread points behind the start of glibc's table of such storage, which is a block of its own.
        "in_dynamic_thread_local_of_other": Either([reachable(), interior_only()]),
        "in_near_key_of_main": reachable(),
        "in_near_key_of_other": reachable(),
        "in_far_key_of_main": reachable(),
        "in_far_key_of_other": reachable(),
        "in_mapping": reachable(),
        "in_shared_mapping": reachable(),
        "in_sealed_mapping": reachable(),
        "in_unmapped_mapping": lost(),
        "in_environment": reachable(),
        "in_kernel": lost(),  # limited: the kernel's memory can't be read
    },
    "class_blocks": {
        "fence": reachable(6),
        "alone": lost(),
        "five_alone": lost(5),
        "chain": lost(1, 9),
        "tree": lost(1, 6),
        "cycle_of_two": lost(1, 1),
        "cycle_of_one": lost(),
        "cycle_below_one": lost(1, 2),
        "two_above_one": lost(2, 1),
        "chain_in_use": reachable(10),
        "tree_in_use": reachable(7),
        "cycle_in_use": reachable(2),
        "replaced": counts(unreachable=1, reachable=1),
        "inside": interior_only(),
        "last_byte": interior_only(),
        "lowest_bit_used": interior_only(),
        "chain_behind_inside": interior_only(3),
        "inside_and_start": reachable(),
        "inside_from_block_in_use": counts(reachable=1, interior_only=2),
        "inside_from_block_alone": lost(1, 1),
        "one_past_the_end": lost(),
        "one_before_the_start": lost(),
        "of_no_bytes": reachable(),
        "unaligned": lost(),
        "hidden": lost(),
        "in_two_halves": lost(),
        "highest_bits_used": lost(),
        "in_small_freed_block": lost(),
        "in_freed_block": lost(),
        "in_large_freed_block": lost(),
        "in_dead_frame": lost(),
        "before_free_memory": lost(),
        "large": lost(),
        "large_in_use": reachable(),
        "large_inside": interior_only(),
        "below_large": lost(1, 1),
        "below_large_in_use": reachable(2),
        "aligned": lost(),
        "aligned_in_use": reachable(),
        "reallocated": lost(),
        "reallocated_in_use": reachable(),
        "of_thread": lost(),
        "of_thread_in_use": reachable(),
        "chain_of_thread": lost(1, 2),
        "after_mark": lost(),
        "after_mark_in_use": reachable(),
    },
    "class_cxx": {
        "by_string": reachable(),
        "by_vector": reachable(),
        "by_map": reachable(7),
        "by_set_of_strings": reachable(6),
        "by_unordered_map": reachable(4),
        "by_deque": reachable(5),  # 4 chunks of 128 numbers and the table of chunks
        "by_list": reachable(3),
        "by_forward_list": reachable(3),
        "by_shared_ptr": reachable(2),
        "by_make_shared": reachable(),
        "by_unique_ptr": reachable(),
        "by_function": reachable(),
        "by_nested_containers": reachable(6),
        "by_weak_ptr_alone": reachable(),
        "by_aliasing_shared_ptr": reachable(),
        "by_array_cookie": reachable(),
        # Limited: a snapshot has no numbers, so any new[] may have counted its elements.
        "by_array_of_bytes": Either([interior_only(), reachable()]),
        "by_array_element": interior_only(),
        "by_first_base": reachable(),
        "by_second_base": reachable(),
        "by_virtual_base": reachable(),
        "by_plain_base": interior_only(),
        "by_member": interior_only(),
        "by_exception_ptr": interior_only(),
        "by_nothing": lost(),
    },
    "class_old_string": {
        "by_old_string": reachable(),
        "by_old_strings_that_share": reachable(),
        "at_24_bytes": interior_only(),
        "by_nothing": lost(),
    },
    "class_registered": {
        "in_registered_memory": reachable(),
        "beside_registered_memory": lost(),
        "in_file": lost(),
    },
}

# What class_blocks makes after its mark.
AFTER_MARK = ("after_mark", "after_mark_in_use", "of_thread", "of_thread_in_use", "chain_of_thread",
              "before_free_memory", "in_small_freed_block", "in_freed_block", "in_large_freed_block")
FENCES_AFTER_MARK = 4


def count_by_function(program, records):
    """{function: counts} of records ([names of frames, innermost first], class, blocks); the innermost one counts."""
    found = collections.defaultdict(counts)
    for frames, name, blocks in records:
        function = next((function for frame in frames for function in TRUTH[program] if names(frame, function)), None)
        found[function][name] = found[function].get(name, 0) + blocks
    return {function: found[function] for function in TRUTH[program]}


def records_of(report):
    """The records of `leakan report --format json`."""
    for site in report.sites:
        for name, blocks in site.raw["class"].items():
            yield site.frames, name, blocks


def is_right(found, truth):
    return found in truth if isinstance(truth, Either) else found == truth


def in_words(of_class):
    if isinstance(of_class, Either):
        return " or ".join(map(in_words, of_class))
    return ", ".join(f"{blocks} {name}" for name, blocks in of_class.items() if blocks) or "no block"
