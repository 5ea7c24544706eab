/*
 * bpf(2) and code for it. bpf.h has the rules.
 */
#include "bpf.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace wdp {

int Bpf(int command, bpf_attr* attributes) {
  const long result = syscall(SYS_bpf, command, attributes, sizeof(*attributes));
  return result < 0 ? -errno : static_cast<int>(result);
}

int MakeMap(uint32_t type, uint32_t valueSize, uint32_t entries, uint32_t flags) {
  bpf_attr map = {};
  map.map_type = type;
  map.key_size = sizeof(uint32_t);
  map.value_size = valueSize;
  map.max_entries = entries;
  map.map_flags = flags;
  return Bpf(BPF_MAP_CREATE, &map);
}

int SetElement(int map, uint32_t key, uint32_t value) {
  bpf_attr update = {};
  update.map_fd = static_cast<uint32_t>(map);
  update.key = AddressOf(&key);
  update.value = AddressOf(&value);
  return Bpf(BPF_MAP_UPDATE_ELEM, &update);
}

void BpfCode::Emit(int code, int to, int from, int offset, int32_t value) {
  bpf_insn instruction = {};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = static_cast<uint8_t>(to & 15);
  instruction.src_reg = static_cast<uint8_t>(from & 15);
  instruction.off = static_cast<int16_t>(offset);
  instruction.imm = value;
  code_.push_back(instruction);
}

void BpfCode::EmitWide(int to, int source, int32_t low, int32_t high) {
  Emit(BPF_LD | BPF_IMM | BPF_DW, to, source, 0, low);
  Emit(0, 0, 0, 0, high);
}

void BpfCode::EmitJump(int code, int a, int b, int32_t value, Label* to) {
  to->jumps.push_back(code_.size());
  Emit(code, a, b, 0, value);
}

void BpfCode::Bind(const Label& label) {
  for (const size_t jump : label.jumps) code_[jump].off = static_cast<int16_t>(code_.size() - jump - 1);
}

int BpfCode::LoadXdp() const {
  bpf_attr load = {};
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = AddressOf(code_.data());
  load.insn_cnt = static_cast<uint32_t>(code_.size());
  load.license = AddressOf("Apache-2.0");
  return Bpf(BPF_PROG_LOAD, &load);
}

}  // namespace wdp
