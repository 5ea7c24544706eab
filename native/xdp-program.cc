/*
 * The XDP program of AF_XDP ports. xdp-program.h has the rules.
 */
#include "xdp-program.h"

#include <linux/if_link.h>

#include <cstddef>

namespace wdp {

int XdpProgram::Open(int ifindex, uint32_t mode, uint32_t queueCount, const HotOptions* hot) {
  Close();
  operation_ = "BPF_MAP_CREATE";
  int error = MakeMap(BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t), queueCount);
  if (error >= 0) {
    map_.Reset(error);
    error = Load(hot);
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

/** The lookup of hot flows, if there are any; return bpf_redirect_map(&map, context->rx_queue_index, XDP_PASS); */
int XdpProgram::Load(const HotOptions* hot) {
  operation_ = "BPF_PROG_LOAD";
  BpfCode code;
  BpfCode::Label pass;
  code.Alu(BPF_MOV, BPF_REG_6, BPF_REG_1);
  if (hot != nullptr) EmitHotLookup(&code, *hot, &pass);
  code.Bind(pass);
  code.Load(BpfCode::kWord, BPF_REG_2, BPF_REG_6, offsetof(xdp_md, rx_queue_index));
  code.MapOf(BPF_REG_1, map_.get());
  code.AluImmediate(BPF_MOV, BPF_REG_3, XDP_PASS);
  code.Call(BPF_FUNC_redirect_map);
  code.Exit();
  const int fd = code.LoadXdp();
  if (fd >= 0) program_.Reset(fd);
  return fd;
}

int XdpProgram::SetSocket(uint32_t queue, int socket) {
  operation_ = "BPF_MAP_UPDATE_ELEM";
  return SetElement(map_.get(), queue, static_cast<uint32_t>(socket));
}

void XdpProgram::Close() {
  link_.Reset();
  program_.Reset();
  map_.Reset();
}

}  // namespace wdp
