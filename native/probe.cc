/*
 * Probe: what this kernel offers to this process. Each question is asked in the way the feature itself will ask it, by
 * opening the socket or device, so that the errno is the one a user would meet. Everything opened is closed again and
 * nothing is configured.
 *
 * Concerns the whole process; may be called from any thread.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>

#include "addon.h"

namespace wdp {
namespace {

constexpr char kFamily[] = "ovs_datapath";
constexpr int kNetlinkTimeoutS = 2;

/** CTRL_CMD_GETFAMILY with one attribute, the family's name: exactly the bytes that go out. */
struct FamilyRequest {
  nlmsghdr header;
  genlmsghdr generic;
  nlattr attribute;
  char name[NLMSG_ALIGN(sizeof(kFamily))];
};
static_assert(sizeof(FamilyRequest) == NLMSG_HDRLEN + GENL_HDRLEN + NLA_HDRLEN + 16, "no padding in between");

FamilyRequest MakeFamilyRequest() {
  FamilyRequest request = {};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = GENL_ID_CTRL;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_seq = 1;
  request.generic.cmd = CTRL_CMD_GETFAMILY;
  request.generic.version = 1;
  request.attribute.nla_type = CTRL_ATTR_FAMILY_NAME;
  request.attribute.nla_len = NLA_HDRLEN + sizeof(kFamily);
  std::memcpy(request.name, kFamily, sizeof(kFamily));
  return request;
}

/** The errno with which a socket of this kind is refused, 0 when it opens. */
int SocketErrno(int domain, int type, int protocol) {
  const Fd fd(socket(domain, type | SOCK_CLOEXEC, protocol));
  return fd.valid() ? 0 : errno;
}

int TunErrno() {
  const Fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  return fd.valid() ? 0 : errno;
}

/** Asks the kernel for the generic Netlink family of the openvswitch module: 0, or ENOENT when it is not there. */
int FamilyErrno() {
  const Fd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!fd.valid()) return errno;
  const timeval timeout = {kNetlinkTimeoutS, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  const FamilyRequest request = MakeFamilyRequest();
  if (send(fd.get(), &request, sizeof(request), 0) < 0) return errno;
  alignas(nlmsghdr) char reply[8192];
  const ssize_t size = recv(fd.get(), reply, sizeof(reply), 0);
  if (size < 0) return errno;
  if (static_cast<size_t>(size) < sizeof(nlmsghdr)) return EPROTO;
  const auto* header = reinterpret_cast<const nlmsghdr*>(reply);
  if (header->nlmsg_type != NLMSG_ERROR) return 0;
  if (static_cast<size_t>(size) < NLMSG_HDRLEN + sizeof(nlmsgerr)) return EPROTO;
  return -reinterpret_cast<const nlmsgerr*>(reply + NLMSG_HDRLEN)->error;
}

Napi::Object Answer(Napi::Env env, int error) {
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("available", error == 0);
  answer.Set("errno", error);
  return answer;
}

/** Bytes, or -1 for no limit. */
double LimitSize(rlim_t limit) { return limit == RLIM_INFINITY ? -1 : static_cast<double>(limit); }

/** Memory that may be locked: AF_XDP buffers are charged to it unless CAP_IPC_LOCK is held. */
Napi::Object Memlock(Napi::Env env) {
  rlimit limit = {};
  const int error = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? 0 : errno;
  Napi::Object answer = Answer(env, error);
  answer.Set("softSize", LimitSize(limit.rlim_cur));
  answer.Set("hardSize", LimitSize(limit.rlim_max));
  return answer;
}

}  // namespace

Napi::Value Probe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object result = Napi::Object::New(env);
  result.Set("afPacket", Answer(env, SocketErrno(AF_PACKET, SOCK_RAW, 0)));
  result.Set("afXdp", Answer(env, SocketErrno(AF_XDP, SOCK_RAW, 0)));
  result.Set("tun", Answer(env, TunErrno()));
  result.Set("ovsDatapath", Answer(env, FamilyErrno()));
  result.Set("memlock", Memlock(env));
  return result;
}

}  // namespace wdp
