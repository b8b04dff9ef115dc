#include "preload/private_stack.hpp"

// Keeps the caller's stack pointer in rbp: its rule "CFA = rbp + 16" is the plainest an unwinder knows.
asm(R"(
    .text
    .p2align 4
    .globl leak_call_on_stack
    .hidden leak_call_on_stack
    .type leak_call_on_stack, @function
leak_call_on_stack:
    .cfi_startproc
    endbr64
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    movq %rdi, %rsp
    movq %rdx, %rdi
    call *%rsi
    movq %rbp, %rsp
    popq %rbp
    .cfi_def_cfa %rsp, 8
    ret
    .cfi_endproc
    .size leak_call_on_stack, . - leak_call_on_stack
)");
