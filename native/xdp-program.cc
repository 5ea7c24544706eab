/*
 * The XDP program of AF_XDP ports. xdp-program.h has the rules.
 */
#include "xdp-program.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

namespace wdp {
namespace {

int Bpf(int command, bpf_attr* attributes) {
  const long result = syscall(SYS_bpf, command, attributes, sizeof(*attributes));
  return result < 0 ? -errno : static_cast<int>(result);
}

uint64_t AddressOf(const void* data) { return reinterpret_cast<uint64_t>(data); }

bpf_insn Instruction(int code, uint8_t to, uint8_t from, int16_t offset, int32_t value) {
  bpf_insn instruction = {};
  instruction.code = static_cast<uint8_t>(code);
  instruction.dst_reg = to & 15;
  instruction.src_reg = from & 15;
  instruction.off = offset;
  instruction.imm = value;
  return instruction;
}

}  // namespace

int XdpProgram::Open(int ifindex, uint32_t mode, uint32_t queueCount) {
  Close();
  operation_ = "BPF_MAP_CREATE";
  bpf_attr map = {};
  map.map_type = BPF_MAP_TYPE_XSKMAP;
  map.key_size = sizeof(uint32_t);
  map.value_size = sizeof(uint32_t);
  map.max_entries = queueCount;
  int error = Bpf(BPF_MAP_CREATE, &map);
  if (error >= 0) {
    map_.Reset(error);
    error = Load();
  }
  if (error >= 0) {
    operation_ = "BPF_LINK_CREATE";
    bpf_attr link = {};
    link.link_create.prog_fd = static_cast<uint32_t>(program_.get());
    link.link_create.target_ifindex = static_cast<uint32_t>(ifindex);
    link.link_create.attach_type = BPF_XDP;
    link.link_create.flags = mode;
    error = Bpf(BPF_LINK_CREATE, &link);
  }
  if (error < 0) {
    Close();
    return error;
  }
  link_.Reset(error);
  return 0;
}

/** return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS); */
int XdpProgram::Load() {
  operation_ = "BPF_PROG_LOAD";
  const bpf_insn program[] = {
      Instruction(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0),
      Instruction(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_.get()),
      Instruction(0, 0, 0, 0, 0),  // upper half of the address
      Instruction(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS),
      Instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map),
      Instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
  };
  bpf_attr load = {};
  load.prog_type = BPF_PROG_TYPE_XDP;
  load.insns = AddressOf(program);
  load.insn_cnt = sizeof(program) / sizeof(program[0]);
  load.license = AddressOf("Apache-2.0");
  const int fd = Bpf(BPF_PROG_LOAD, &load);
  if (fd >= 0) program_.Reset(fd);
  return fd;
}

int XdpProgram::SetSocket(uint32_t queue, int socket) {
  operation_ = "BPF_MAP_UPDATE_ELEM";
  bpf_attr update = {};
  update.map_fd = static_cast<uint32_t>(map_.get());
  update.key = AddressOf(&queue);
  update.value = AddressOf(&socket);
  return Bpf(BPF_MAP_UPDATE_ELEM, &update);
}

void XdpProgram::Close() {
  link_.Reset();
  program_.Reset();
  map_.Reset();
}

}  // namespace wdp
