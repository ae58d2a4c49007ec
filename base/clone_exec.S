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
1:      mov     %rdx, %rdi              // executable
        lea     empty(%rip), %rsi
        mov     %r10, %rdx              // argv
        mov     %r8, %r10               // envp
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
1:      mov     x6, x3
        mov     x3, x4                  // envp
        mov     x0, x2                  // executable
        adr     x1, empty
        mov     x2, x6                  // argv
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
empty:  .byte   0
        .section .note.GNU-stack,"",@progbits
