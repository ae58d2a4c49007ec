// See clone_exec.hpp. No stack is touched between clone3 and the exec, so the child may share ours.
        .text
        .globl  clone3_execveat
        .type   clone3_execveat, @function
#if defined(__x86_64__)
// rdi args, rsi bytes, rdx executable, rcx argv, r8 envp, r9 exec_error
clone3_execveat:
        mov     %rcx, %r10              // the system call destroys rcx and r11
        mov     $435, %eax              // clone3
        syscall
        test    %rax, %rax
        jz      1f
        ret
1:      mov     %rdx, %r12              // executable; no register has to be kept for anybody
        mov     %r10, %r13              // argv
        mov     %r8, %r14               // envp
        testl   $0x10000000, (%rdi)     // CLONE_NEWUSER
        jz      3f
        lea     cap_header(%rip), %rdi
        lea     cap_data(%rip), %rsi
        mov     $126, %eax              // capset: everything inheritable
        syscall
        xor     %ebx, %ebx
2:      mov     $47, %edi               // PR_CAP_AMBIENT
        mov     $2, %esi                // PR_CAP_AMBIENT_RAISE
        mov     %rbx, %rdx
        xor     %r10d, %r10d
        xor     %r8d, %r8d
        mov     $157, %eax              // prctl: EINVAL after the last capability
        syscall
        inc     %ebx
        test    %rax, %rax
        jz      2b
3:      mov     %r12, %rdi
        lea     empty(%rip), %rsi
        mov     %r13, %rdx
        mov     %r14, %r10
        mov     $0x1000, %r8d           // AT_EMPTY_PATH
        mov     $322, %eax              // execveat
        syscall
        neg     %eax
        mov     %eax, (%r9)
        mov     $127, %edi
        mov     $231, %eax              // exit_group
        syscall
        hlt
#elif defined(__aarch64__)
// x0 args, x1 bytes, x2 executable, x3 argv, x4 envp, x5 exec_error
clone3_execveat:
        mov     x8, #435                // clone3
        svc     #0
        cbz     x0, 1f
        ret
1:      mov     x19, x2                 // executable; no register has to be kept for anybody
        mov     x20, x3                 // argv
        mov     x21, x4                 // envp
        mov     x22, x5
        ldr     x9, [x0]
        tbz     x9, #28, 3f             // CLONE_NEWUSER
        adrp    x0, cap_header
        add     x0, x0, :lo12:cap_header
        adrp    x1, cap_data
        add     x1, x1, :lo12:cap_data
        mov     x8, #91                 // capset: everything inheritable
        svc     #0
        mov     x23, #0
2:      mov     x0, #47                 // PR_CAP_AMBIENT
        mov     x1, #2                  // PR_CAP_AMBIENT_RAISE
        mov     x2, x23
        mov     x3, #0
        mov     x4, #0
        mov     x8, #167                // prctl: EINVAL after the last capability
        svc     #0
        add     x23, x23, #1
        cbz     x0, 2b
3:      mov     x0, x19
        adrp    x1, empty
        add     x1, x1, :lo12:empty
        mov     x2, x20
        mov     x3, x21
        mov     x5, x22
        mov     x4, #0x1000             // AT_EMPTY_PATH
        mov     x8, #281                // execveat
        svc     #0
        neg     w0, w0
        str     w0, [x5]
        mov     x0, #127
        mov     x8, #94                 // exit_group
        svc     #0
        brk     #0
#else
#error "add clone3_execveat for this architecture"
#endif
        .size   clone3_execveat, .-clone3_execveat
        .section .rodata
        .balign 4
cap_header:                             // _LINUX_CAPABILITY_VERSION_3, this process
        .long   0x20080522, 0
cap_data:                               // the kernel masks what it does not know
        .long   -1, -1, -1, -1, -1, -1
empty:  .byte   0
        .section .note.GNU-stack,"",@progbits
