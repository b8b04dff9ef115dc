// Blocks that point to each other, and pointers that are none: class_blocks [exit | _exit | quick_exit | exec | kill]
// Each function leaves blocks behind whose classes are in classes_test.py.
#include "host.hpp"
#include "leak.h"

#include <csignal>
#include <pthread.h>

namespace {

struct Node {
    Node* volatile left;
    Node* volatile right;
};

void* volatile slots[64];
size_t slots_used = 0;
void hold(const void* pointer)
{
    slots[slots_used++] = const_cast<void*>(pointer);
}
template <class T> T* at(void* block, size_t offset)
{
    return reinterpret_cast<T*>(static_cast<char*>(block) + offset);
}

Node* make_node(size_t bytes, Node* left = nullptr, Node* right = nullptr)
{
    Node* node = static_cast<Node*>(calloc(1, bytes));
    node->left = left;
    node->right = right;
    return node;
}
Node* make_chain(size_t bytes, int length)
{
    Node* first = nullptr;
    for (int i = 0; i < length; ++i) first = make_node(bytes, first);
    return first;
}
Node* make_tree(size_t bytes, int levels)
{
    if (levels == 0) return nullptr;
    Node* left = make_tree(bytes, levels - 1);
    return make_node(bytes, left, make_tree(bytes, levels - 1));
}
Node* make_cycle(size_t bytes)
{
    Node* first = make_node(bytes);
    first->left = make_node(bytes, first);
    return first;
}

// -- Shapes -----------------------------------------------------------------------------------------------------------

HOST_FRAME void alone()
{
    keep(malloc(1101));
}
HOST_FRAME void five_alone()
{
    for (int i = 0; i < 5; ++i) keep(malloc(1102));
}
HOST_FRAME void chain()
{
    keep(make_chain(1103, 10));
}
HOST_FRAME void tree()
{
    keep(make_tree(1104, 3));
}
HOST_FRAME void cycle_of_two()
{
    keep(make_cycle(1105));
}
HOST_FRAME void cycle_of_one()
{
    Node* node = make_node(1106);
    node->left = node;
}
HOST_FRAME void cycle_below_one()
{
    keep(make_node(1107, make_cycle(1107)));
}
// The members of a cycle are met first here: they have lower addresses than what points to them.
HOST_FRAME void two_above_one()
{
    Node* below = make_node(1108);
    keep(make_node(1108, below));
    keep(make_node(1108, below));
}
HOST_FRAME void chain_in_use()
{
    hold(make_chain(1109, 10));
}
HOST_FRAME void tree_in_use()
{
    hold(make_tree(1110, 3));
}
HOST_FRAME void cycle_in_use()
{
    hold(make_cycle(1111));
}
HOST_FRAME void replaced()
{
    hold(malloc(1112));
    slots[slots_used - 1] = malloc(1112);
}

// -- Pointers to the inside -------------------------------------------------------------------------------------------

HOST_FRAME void inside()
{
    hold(at<char>(malloc(1121), 8));
}
HOST_FRAME void last_byte()
{
    hold(at<char>(malloc(1122), 1121));
}
HOST_FRAME void lowest_bit_used()
{
    hold(at<char>(malloc(1123), 1));
}
HOST_FRAME void chain_behind_inside()
{
    hold(at<char>(make_chain(1124, 3), 8));
}
HOST_FRAME void inside_and_start()
{
    void* block = malloc(1125);
    hold(at<char>(block, 64));
    hold(block);
}
HOST_FRAME void inside_from_block_in_use()
{
    Node* below = make_chain(1126, 2);
    hold(make_node(1126, at<Node>(below, 64)));
}
HOST_FRAME void inside_from_block_alone()
{
    Node* below = make_node(1127);
    keep(make_node(1127, at<Node>(below, 64)));
}
HOST_FRAME void one_past_the_end()
{
    hold(at<char>(malloc(1128), 1128));
}
HOST_FRAME void one_before_the_start()
{
    hold(at<char>(malloc(1129), 0) - 1);
}
HOST_FRAME void of_no_bytes()
{
    hold(malloc(opaque(0)));
}

// -- Pointers that are none -------------------------------------------------------------------------------------------

char unaligned_slot[32];
HOST_FRAME void unaligned()
{
    void* block = malloc(1141);
    memcpy(unaligned_slot + 3, &block, sizeof block);
}
HOST_FRAME void hidden()
{
    hold(reinterpret_cast<void*>(hide(malloc(1142))));
}
HOST_FRAME void in_two_halves()
{
    const auto address = reinterpret_cast<uintptr_t>(malloc(1143));
    hold(reinterpret_cast<void*>(address >> 16));
    hold(reinterpret_cast<void*>(address & 0xffff));
}
HOST_FRAME void highest_bits_used()
{
    hold(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(malloc(1144)) | uintptr_t{0x5a5a} << 48));
}
HOST_FRAME void fence(size_t bytes)
{
    hold(malloc(bytes));
}
// The pointer stays in the memory that was given back. Nothing else here has such sizes, and the fence keeps the memory
// from going back to the system.
void leave_in_freed_block(size_t bytes, void* block)
{
    void* freed = malloc(bytes);
    fence(bytes);
    *at<void* volatile>(freed, bytes - 24) = block;
    free(freed);
}
HOST_FRAME void in_small_freed_block()
{
    leave_in_freed_block(600, malloc(1145));
}
HOST_FRAME void in_freed_block()
{
    leave_in_freed_block(100'000, malloc(1146));
}
HOST_FRAME void in_large_freed_block()
{
    leave_in_freed_block(1 << 20, malloc(1147));
}
// malloc has pointers to its header of the free memory behind the block. The header begins with what is the end of the
// block, where the block is in use.
HOST_FRAME void before_free_memory()
{
    keep(malloc(1160));
    void* freed = malloc(2000);
    fence(2000);
    free(freed);
}
// So deep that nothing is called there again.
HOST_FRAME void in_dead_frame()
{
    void* volatile frames[4 * kScrubbedBytes / sizeof(void*)];
    frames[0] = malloc(1148);
    keep(const_cast<void**>(frames));
}

// -- Where blocks come from -------------------------------------------------------------------------------------------

constexpr size_t kLargeBytes = 256 << 10; // mapped by malloc one by one

HOST_FRAME void large()
{
    keep(malloc(kLargeBytes + 1));
}
HOST_FRAME void large_in_use()
{
    hold(malloc(kLargeBytes + 2));
}
HOST_FRAME void large_inside()
{
    hold(at<char>(malloc(kLargeBytes + 3), kLargeBytes / 2));
}
HOST_FRAME void below_large()
{
    keep(make_node(kLargeBytes + 4, make_node(1151)));
}
HOST_FRAME void below_large_in_use()
{
    hold(make_node(kLargeBytes + 5, make_node(1152)));
}
HOST_FRAME void aligned()
{
    keep(aligned_alloc(4096, 8192));
}
HOST_FRAME void aligned_in_use()
{
    hold(aligned_alloc(4096, 12288));
}
void* moved(size_t bytes)
{
    void* block = malloc(bytes);
    fence(bytes);
    void* volatile before = block;
    block = realloc(block, 5 * bytes);
    HOST_CHECK(block != before);
    return block;
}
HOST_FRAME void reallocated()
{
    void* block = malloc(700);
    fence(700);
    hold(block); // the old address
    HOST_CHECK(realloc(block, 3500) != slots[slots_used - 1]);
}
HOST_FRAME void reallocated_in_use()
{
    hold(moved(800));
}
HOST_FRAME void of_thread()
{
    keep(malloc(1153));
}
HOST_FRAME void of_thread_in_use()
{
    hold(malloc(1154));
}
HOST_FRAME void chain_of_thread()
{
    keep(make_chain(1155, 3));
}
// Another thread has an arena of its own.
void* run_thread(void*)
{
    of_thread();
    of_thread_in_use();
    chain_of_thread();
    scrub_stack();
    return nullptr;
}
HOST_FRAME void after_mark()
{
    leak_mark("load stop");
    keep(malloc(1156));
}
HOST_FRAME void after_mark_in_use()
{
    hold(malloc(1157));
}

[[noreturn]] void end(const char* how)
{
    if (strcmp(how, "_exit") == 0) _exit(0);
    if (strcmp(how, "quick_exit") == 0) quick_exit(0);
    if (strcmp(how, "exec") == 0) execl("/bin/true", "true", nullptr);
    if (strcmp(how, "kill") == 0) {
        usleep(500'000); // the mark's snapshot may be under way
        raise(SIGKILL);
    }
    end_host();
}

} // namespace

int main(int argc, char** argv)
{
    void (*const all[])() = {
        in_dead_frame,
        alone,
        five_alone,
        chain,
        tree,
        cycle_of_two,
        cycle_of_one,
        cycle_below_one,
        two_above_one,
        chain_in_use,
        tree_in_use,
        cycle_in_use,
        replaced,
        inside,
        last_byte,
        lowest_bit_used,
        chain_behind_inside,
        inside_and_start,
        inside_from_block_in_use,
        inside_from_block_alone,
        one_past_the_end,
        one_before_the_start,
        of_no_bytes,
        unaligned,
        hidden,
        in_two_halves,
        highest_bits_used,
        large,
        large_in_use,
        large_inside,
        below_large,
        below_large_in_use,
        aligned,
        aligned_in_use,
        reallocated,
        reallocated_in_use,
        after_mark,
        after_mark_in_use,
    };
    for (const auto leave_blocks : all) {
        leave_blocks();
        scrub_stack();
    }
    pthread_t thread;
    pthread_create(&thread, nullptr, run_thread, nullptr);
    pthread_join(thread, nullptr);
    in_small_freed_block();
    in_large_freed_block();
    in_freed_block();
    before_free_memory(); // nothing takes that memory again
    scrub_stack();
    end(argc > 1 ? argv[1] : "exit");
}
