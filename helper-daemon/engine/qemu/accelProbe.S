# The accelerator probe: a 64 KiB boot ROM that goes from real to long mode, reloads its page tables a
# thousand times, runs cmpxchg16b and iretq, and leaves through isa-debug-exit with code 0x57 (87).
# Hosts that only emulate a nested guest's privileged code fail at the last two; naive probes do not see it.
#   as --64 -o probe.o accelProbe.S && ld -m elf_x86_64 --oformat binary -Ttext 0 -e 0 -o probe.rom probe.o
# accelProbeRom.ts holds the result; a test assembles this file again and compares.

.code16
.org 0
start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  # One 2 MiB page at 0: PML4 at 0x1000, PDPT at 0x2000, PD at 0x3000.
  movl $0x2003, 0x1000
  movl $0, 0x1004
  movl $0x3003, 0x2000
  movl $0, 0x2004
  movl $0x83, 0x3000
  movl $0, 0x3004
  .byte 0x2e
  lgdtl gdtDescriptor
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $8, $(0xf0000 + protected)

.code32
protected:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %ss
  movw %ax, %es
  movl %cr4, %eax
  orl $0x20, %eax
  movl %eax, %cr4
  movl $0x1000, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x100, %eax
  wrmsr
  movl %cr0, %eax
  orl $0x80000000, %eax
  movl %eax, %cr0
  ljmpl $24, $(0xf0000 + long)

.code64
long:
  movl $0x80000, %esp
  movl $1000, %ecx
1:
  movq %cr3, %rax
  movq %rax, %cr3
  movl %ecx, 0x9000
  decl %ecx
  jnz 1b
  xorl %eax, %eax
  xorl %edx, %edx
  xorl %ebx, %ebx
  xorl %ecx, %ecx
  movl $0xa000, %edi
  lock cmpxchg16b (%rdi)
  movq %rsp, %rcx
  pushq $16
  pushq %rcx
  pushfq
  pushq $24
  pushq $(0xf0000 + returned)
  iretq
returned:
  movw $0x501, %dx
  movb $0x2b, %al
  outb %al, %dx
  hlt

.balign 16, 0
gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdtDescriptor:
  .word 31
  .long 0xf0000 + gdt

.org 0xfff0
.code16
  ljmpw $0xf000, $start
.org 0x10000
