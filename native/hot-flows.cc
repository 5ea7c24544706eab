/*
 * The tables of hot flows, and the code that looks through them. hot-flows.h has the rules.
 */
#include "hot-flows.h"

#include <sys/mman.h>

#include <cerrno>

#include "io-layout.h"

namespace wdp {

int HotFlows::Open(uint8_t* place, size_t size, uint32_t portCount) {
  Close();
  operation_ = "BPF_MAP_CREATE";
  const int values = MakeMap(BPF_MAP_TYPE_ARRAY, static_cast<uint32_t>(size), 1, BPF_F_MMAPABLE);
  if (values < 0) return values;
  values_.Reset(values);
  const int devices = MakeMap(BPF_MAP_TYPE_DEVMAP, sizeof(uint32_t), portCount);
  if (devices < 0) return devices;
  devices_.Reset(devices);
  operation_ = "mmap";
  if (mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, values_.get(), 0) == MAP_FAILED) return -errno;
  place_ = place;
  size_ = size;
  return 0;
}

int HotFlows::SetDevice(uint32_t portNo, uint32_t ifindex) {
  operation_ = "BPF_MAP_UPDATE_ELEM";
  return SetElement(devices_.get(), portNo, ifindex);
}

void HotFlows::ClearDevice(uint32_t portNo) {
  bpf_attr element = {};
  element.map_fd = static_cast<uint32_t>(devices_.get());
  element.key = AddressOf(&portNo);
  Bpf(BPF_MAP_DELETE_ELEM, &element); // which may be gone with its interface
}

void HotFlows::Close() {
  if (place_ != nullptr) mmap(place_, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  place_ = nullptr;
  values_.Reset();
  devices_.Reset();
}

namespace {

enum Register { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

// a frame, without a tag; one with a tag is read from four bytes further on
constexpr int kEthernet = 14;
constexpr int kTag = 4;
constexpr int kEthernetType = 12;
constexpr int kTotalLength = kEthernet + 2;
constexpr int kFragment = kEthernet + 6;
constexpr int kTtl = kEthernet + 8;
constexpr int kProtocol = kEthernet + 9;
constexpr int kAddresses = kEthernet + 12;
constexpr int kIpSize = 20;
constexpr int kTransport = kEthernet + kIpSize;
constexpr int kTcpOffset = kTransport + 12;
constexpr int kUdpChecksum = kTransport + 6;
constexpr int kTcpChecksum = kTransport + 16;
constexpr int kUdpSize = 8;
constexpr int kTcpSize = 20;
constexpr int kTcp = 6;
constexpr int kUdp = 17;
// words as they stand in a frame, read in the order of the host, which is little-endian as WebAssembly is
constexpr int kTypeIpv4 = 0x0008;
constexpr int kTypeVlan = 0x0081;
constexpr int kVersionAndSize = 0x45;
constexpr int kFragmentBits = 0xff3f;
constexpr int kTcpFlagBits = 0xff0f;
constexpr int kVlanPresent = 0x0010;
constexpr uint64_t kMacMask = 0xffffffffffff;

// the stack, from its end: the six words of the key, the bytes of the frame, and those behind its tag
constexpr int kKey = -48;
constexpr int kSize = -56;
constexpr int kRest = -64;

/** Emits the code; one object a program. */
class Emitter {
 public:
  Emitter(BpfCode* code, const HotOptions& options, BpfCode::Label* pass) : code_(*code), options_(options), pass_(pass) {}

  void Emit() {
    ReadBounds();
    ReadEthernet();
    ReadIp();
    ReadTransport();
    if (options_.isSoft) RefusePartial();
    FindPair();
    FindEntry();
    Forward();
  }

 private:
  /**
   * r7 = data, r8 = data_end, both of a frame that has the smallest headers; its size is on the stack, and once more as what is left from r7 on. (A program
   * without CAP_PERFMON may not calculate with the two pointers.)
   */
  void ReadBounds() {
    code_.Call(BPF_FUNC_xdp_get_buff_len);
    code_.Store(BpfCode::kDouble, R10, kSize, R0);
    code_.Store(BpfCode::kDouble, R10, kRest, R0);
    code_.Load(BpfCode::kWord, R7, R6, offsetof(xdp_md, data));
    code_.Load(BpfCode::kWord, R8, R6, offsetof(xdp_md, data_end));
    RefuseShorter(kTransport + kUdpSize);
  }

  /** What lies from r7 on has so many bytes. */
  void RefuseShorter(int size) {
    code_.Alu(BPF_MOV, R1, R7);
    code_.AluImmediate(BPF_ADD, R1, size);
    code_.JumpIf(BPF_JGT, R1, R8, pass_);
  }

  void StoreKey(int word, Register from) { code_.Store(BpfCode::kDouble, R10, kKey + 8 * word, from); }

  /**
   * Words 0 to 2: the port, the addresses, EtherType and tag; the tag's TPID is kept in r9 for word 5. From here on r7 is where a frame without a tag would
   * begin.
   */
  void ReadEthernet() {
    BpfCode::Label untagged;
    code_.AluImmediate(BPF_MOV, R1, static_cast<int32_t>(options_.portNo));
    StoreKey(0, R1);
    code_.Constant(R2, kMacMask);
    code_.Load(BpfCode::kDouble, R3, R7, 0);
    code_.Alu(BPF_AND, R3, R2);
    code_.Constant(R1, static_cast<uint64_t>(kTypeIpv4) << 48);
    code_.Alu(BPF_OR, R3, R1);
    StoreKey(1, R3);
    code_.Load(BpfCode::kDouble, R4, R7, 6);
    code_.Alu(BPF_AND, R4, R2);
    code_.AluImmediate(BPF_MOV, R9, 0);
    code_.Load(BpfCode::kHalf, R1, R7, kEthernetType);
    code_.JumpIfImmediate(BPF_JEQ, R1, kTypeIpv4, &untagged);
    code_.JumpIfImmediate(BPF_JNE, R1, kTypeVlan, pass_);
    code_.AluImmediate(BPF_MOV, R9, kTypeVlan << 16);
    code_.Load(BpfCode::kHalf, R1, R7, kEthernet);
    code_.AluImmediate(BPF_OR, R1, kVlanPresent);
    code_.AluImmediate(BPF_LSH, R1, 48);
    code_.Alu(BPF_OR, R4, R1);
    code_.AluImmediate(BPF_ADD, R7, kTag);
    code_.Load(BpfCode::kDouble, R1, R10, kRest);
    code_.AluImmediate(BPF_SUB, R1, kTag);
    code_.Store(BpfCode::kDouble, R10, kRest, R1);
    RefuseShorter(kTransport + kUdpSize);
    code_.Load(BpfCode::kHalf, R1, R7, kEthernetType);
    code_.JumpIfImmediate(BPF_JNE, R1, kTypeIpv4, pass_);
    code_.Bind(untagged);
    StoreKey(2, R4);
  }

  /** r5 = the protocol, r4 = total length: a whole packet, without options, that is no fragment. The lower half of word 3, and word 4. */
  void ReadIp() {
    code_.Load(BpfCode::kByte, R1, R7, kEthernet);
    code_.JumpIfImmediate(BPF_JNE, R1, kVersionAndSize, pass_);
    code_.Load(BpfCode::kHalf, R1, R7, kFragment);
    code_.AluImmediate(BPF_AND, R1, kFragmentBits);
    code_.JumpIfImmediate(BPF_JNE, R1, 0, pass_);
    code_.Load(BpfCode::kHalf, R4, R7, kTotalLength);
    code_.FromNetwork16(R4);
    code_.Load(BpfCode::kDouble, R1, R10, kRest);
    code_.AluImmediate(BPF_SUB, R1, kEthernet);
    code_.JumpIf(BPF_JGT, R4, R1, pass_);
    code_.Load(BpfCode::kByte, R5, R7, kProtocol);
    code_.Load(BpfCode::kByte, R3, R7, kEthernet + 1);
    code_.AluImmediate(BPF_LSH, R3, 8);
    code_.Alu(BPF_OR, R3, R5);
    code_.Load(BpfCode::kByte, R1, R7, kTtl);
    code_.AluImmediate(BPF_LSH, R1, 16);
    code_.Alu(BPF_OR, R3, R1);
    code_.Load(BpfCode::kWord, R1, R7, kTransport);
    code_.AluImmediate(BPF_LSH, R1, 32);
    code_.Alu(BPF_OR, R3, R1);
    StoreKey(3, R3);
    code_.Load(BpfCode::kDouble, R1, R7, kAddresses);
    StoreKey(4, R1);
  }

  /** Word 5: TCP flags, and the tag's TPID. r3 = the checksum. The whole header is there. */
  void ReadTransport() {
    BpfCode::Label udp, done;
    code_.JumpIfImmediate(BPF_JEQ, R5, kUdp, &udp);
    code_.JumpIfImmediate(BPF_JNE, R5, kTcp, pass_);
    code_.JumpIfImmediate(BPF_JLT, R4, kIpSize + kTcpSize, pass_);
    RefuseShorter(kTransport + kTcpSize);
    code_.Load(BpfCode::kByte, R1, R7, kTcpOffset);
    code_.AluImmediate(BPF_RSH, R1, 4);
    code_.AluImmediate(BPF_LSH, R1, 2);
    code_.JumpIfImmediate(BPF_JLT, R1, kTcpSize, pass_);
    code_.AluImmediate(BPF_ADD, R1, kIpSize);
    code_.JumpIf(BPF_JGT, R1, R4, pass_);
    code_.Load(BpfCode::kHalf, R1, R7, kTcpOffset);
    code_.AluImmediate(BPF_AND, R1, kTcpFlagBits);
    code_.Alu(BPF_OR, R9, R1);
    code_.Load(BpfCode::kHalf, R3, R7, kTcpChecksum);
    code_.Jump(&done);
    code_.Bind(udp);
    code_.JumpIfImmediate(BPF_JLT, R4, kIpSize + kUdpSize, pass_);
    code_.Load(BpfCode::kHalf, R3, R7, kUdpChecksum);
    code_.Bind(done);
    StoreKey(5, R9);
  }

  /** A checksum that is the sum of the pseudo header is still to be made: findPartial in assembly/io/offload.ts. */
  void RefusePartial() {
    code_.Load(BpfCode::kWord, R1, R7, kAddresses);
    code_.Load(BpfCode::kWord, R2, R7, kAddresses + 4);
    code_.Alu(BPF_ADD, R1, R2);
    code_.AluImmediate(BPF_LSH, R5, 8);
    code_.Alu(BPF_ADD, R1, R5);
    code_.AluImmediate(BPF_SUB, R4, kIpSize);
    code_.FromNetwork16(R4);
    code_.Alu(BPF_ADD, R1, R4);
    for (int carry = 0; carry < 3; carry++) {
      code_.Alu(BPF_MOV, R2, R1);
      code_.AluImmediate(BPF_RSH, R2, 16);
      code_.AluImmediate(BPF_AND, R1, 0xffff);
      code_.Alu(BPF_ADD, R1, R2);
    }
    code_.JumpIf(BPF_JEQ, R1, R3, pass_);
  }

  /** r7 = the value, r8 = the pair that the key belongs to. */
  void FindPair() {
    code_.AluImmediate(BPF_MOV, R8, 0);
    for (int word = 0; word < static_cast<int>(layout::HOT_KEY_WORDS); word++) {
      code_.Load(BpfCode::kDouble, R1, R10, kKey + 8 * word);
      code_.Constant(R2, options_.factors[word]);
      code_.Alu(BPF_MUL, R1, R2);
      code_.Alu(BPF_ADD, R8, R1);
    }
    code_.AluImmediate(BPF_RSH, R8, static_cast<int32_t>(64 - options_.pairBits));
    code_.AluImmediate(BPF_MUL, R8, layout::HOT_PAIR_SIZEOF);
    code_.ValueOf(R7, options_.values);
    code_.Alu(BPF_ADD, R8, R7);
  }

  /** r9 = the head of the entry that has the key. */
  void FindEntry() {
    BpfCode::Label found;
    for (int way = 0; way < 2; way++) {
      BpfCode::Label next;
      const int entry = way * static_cast<int>(layout::HOT_ENTRY_SIZEOF);
      code_.Load(BpfCode::kDouble, R9, R8, entry + static_cast<int>(layout::HOT_ENTRY_HEAD));
      for (int word = 0; word < static_cast<int>(layout::HOT_KEY_WORDS); word++) {
        code_.Load(BpfCode::kDouble, R1, R8, entry + static_cast<int>(layout::HOT_ENTRY_KEY) + 8 * word);
        code_.Load(BpfCode::kDouble, R2, R10, kKey + 8 * word);
        code_.JumpIf(BPF_JNE, R1, R2, way == 0 ? &next : pass_);
      }
      if (way == 0) code_.Jump(&found);
      code_.Bind(next);
    }
    code_.Bind(found);
  }

  /** The record counts, before and after it was read, and takes a frame of that size; the port has a device. */
  void Forward() {
    const auto generation = [this] {
      code_.Load(BpfCode::kWord, R1, R8, static_cast<int>(layout::HOT_RECORD_GENERATION));
      code_.JumpIf(BPF_JNE, R1, R9, pass_);
    };
    code_.Alu(BPF_MOV, R8, R9);
    code_.AluImmediate(BPF_AND, R8, static_cast<int32_t>(options_.recordCount - 1));
    code_.AluImmediate(BPF_MUL, R8, layout::HOT_RECORD_SIZEOF);
    code_.AluImmediate(BPF_ADD, R8, static_cast<int32_t>(layout::HOT_PAIR_SIZEOF << options_.pairBits));
    code_.Alu(BPF_ADD, R8, R7);
    code_.AluImmediate(BPF_RSH, R9, 32);
    generation();
    code_.Load(BpfCode::kDouble, R7, R10, kSize);
    code_.Load(BpfCode::kWord, R1, R8, static_cast<int>(layout::HOT_RECORD_SIZE_MAX));
    code_.JumpIf(BPF_JGT, R7, R1, pass_);
    code_.Load(BpfCode::kWord, R2, R8, static_cast<int>(layout::HOT_RECORD_PORT));
    generation();
    code_.MapOf(R1, options_.devices);
    code_.AluImmediate(BPF_MOV, R3, XDP_ABORTED);
    code_.Call(BPF_FUNC_redirect_map);
    code_.JumpIfImmediate(BPF_JNE, R0, XDP_REDIRECT, pass_);
    code_.AluImmediate(BPF_MOV, R1, 1);
    code_.AtomicAdd(R8, static_cast<int>(layout::HOT_RECORD_PACKETS), R1);
    code_.AtomicAdd(R8, static_cast<int>(layout::HOT_RECORD_BYTES), R7);
    code_.Call(BPF_FUNC_ktime_get_coarse_ns);
    code_.Store(BpfCode::kDouble, R8, static_cast<int>(layout::HOT_RECORD_USED_NS), R0);
    code_.AluImmediate(BPF_MOV, R0, XDP_REDIRECT);
    code_.Exit();
  }

  BpfCode& code_;
  const HotOptions& options_;
  BpfCode::Label* pass_;
};

}  // namespace

void EmitHotLookup(BpfCode* code, const HotOptions& options, BpfCode::Label* pass) { Emitter(code, options, pass).Emit(); }

}  // namespace wdp
