/*
 * bpf(2), and programs for it that are put together here: no compiler and no library is needed at run time.
 *
 * Concepts. BpfCode is a list of instructions with labels: a jump may name a label that is bound later. Registers are those of the kernel's documentation
 * (Documentation/bpf/standardization/instruction-set.rst): r0 result, r1 to r5 arguments and lost by a call, r6 to r9 kept, r10 the end of the stack.
 * Jumps go forwards only, as the verifier likes them. Threads. None of this is shared.
 */
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace wdp {

/** The system call: its result, or -errno. */
int Bpf(int command, bpf_attr* attributes);

/** A map whose keys are of 32 bits. Its descriptor, or -errno. */
int MakeMap(uint32_t type, uint32_t valueSize, uint32_t entries, uint32_t flags = 0);
/** map[key] = value, both of 32 bits. 0 or -errno. */
int SetElement(int map, uint32_t key, uint32_t value);

inline uint64_t AddressOf(const void* data) { return reinterpret_cast<uint64_t>(data); }

class BpfCode {
 public:
  enum Width : uint8_t { kByte = BPF_B, kHalf = BPF_H, kWord = BPF_W, kDouble = BPF_DW };
  /** A place in the code that jumps go to. */
  struct Label {
    std::vector<size_t> jumps;
  };

  /** to = *(width*)(from + offset) */
  void Load(Width width, int to, int from, int offset) { Emit(BPF_LDX | BPF_MEM | width, to, from, offset, 0); }
  /** *(width*)(to + offset) = from */
  void Store(Width width, int to, int offset, int from) { Emit(BPF_STX | BPF_MEM | width, to, from, offset, 0); }
  /** The same by an addition that no other processor sees half of. */
  void AtomicAdd(int to, int offset, int from) { Emit(BPF_STX | BPF_ATOMIC | BPF_DW, to, from, offset, BPF_ADD); }
  /** to = to OP from; `operation` is BPF_ADD and so on, BPF_MOV to copy. */
  void Alu(int operation, int to, int from) { Emit(BPF_ALU64 | BPF_X | operation, to, from, 0, 0); }
  void AluImmediate(int operation, int to, int32_t value) { Emit(BPF_ALU64 | BPF_K | operation, to, 0, 0, value); }
  /** The lowest 16 bits of a register from the order of the network to that of the host; the others are cleared. */
  void FromNetwork16(int to) { Emit(BPF_ALU | BPF_END | BPF_TO_BE, to, 0, 0, 16); }
  void Constant(int to, uint64_t value) { EmitWide(to, 0, static_cast<int32_t>(value), static_cast<int32_t>(value >> 32)); }
  /** A map as helpers take it. */
  void MapOf(int to, int map) { EmitWide(to, BPF_PSEUDO_MAP_FD, map, 0); }
  /** The value of a map of one element. */
  void ValueOf(int to, int map) { EmitWide(to, BPF_PSEUDO_MAP_VALUE, map, 0); }
  void Jump(Label* to) { EmitJump(BPF_JMP | BPF_JA, 0, 0, 0, to); }
  /** if (a OP b) goto to; `operation` is BPF_JEQ and so on, unsigned. */
  void JumpIf(int operation, int a, int b, Label* to) { EmitJump(BPF_JMP | BPF_X | operation, a, b, 0, to); }
  void JumpIfImmediate(int operation, int a, int32_t value, Label* to) { EmitJump(BPF_JMP | BPF_K | operation, a, 0, value, to); }
  void Call(int helper) { Emit(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
  void Exit() { Emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }
  /** What follows is where the label's jumps go. */
  void Bind(const Label& label);

  /** Loads the code as an XDP program. Its descriptor, or -errno. */
  int LoadXdp() const;

 private:
  void Emit(int code, int to, int from, int offset, int32_t value);
  void EmitWide(int to, int source, int32_t low, int32_t high);
  void EmitJump(int code, int a, int b, int32_t value, Label* to);

  std::vector<bpf_insn> code_;
};

}  // namespace wdp
