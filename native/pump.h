/*
 * Pump: the system calls of a thread that polls. Before it: a round of the datapath, which touched queues (assembly/io/queue.ts). After it: the
 * kernel; then the datapath settles the queues.
 *
 * Concepts. Kick sends what waits in transmit queues, then receives what the datapath asked for. Sleep waits until something can be received
 * or somebody writes to the thread's event counter.
 * Ownership. The memory is the datapath's, all of it; queues and the addresses that stand in them are held against its bounds.
 * Threads. One object a thread; another thread calls Wake.
 */
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace wdp {

class Pump {
 public:
  Pump(uint8_t* memory, size_t size);

  /** Kicks the `count` queues whose addresses stand at `list`. Returns how many frames the kernel refused. */
  uint32_t Kick(uint32_t list, uint32_t count);
  /** Waits for the `count` struct pollfd at `set`, at most `timeoutUs`; the first is the event counter. Returns how many are ready, or -errno. */
  int Sleep(uint32_t set, uint32_t count, int64_t timeoutUs);

  /** An event counter for a thread that sleeps: its descriptor, or -errno. */
  static int OpenCounter();
  /** Waits until it is written to, and takes that away. 1, 0 when `timeoutMs` are over, -errno. */
  static int AwaitCounter(int fd, int timeoutMs);
  /** Wakes whoever sleeps on it. 0 or -errno. */
  static int Wake(int fd);

  /** Words of the memory, null when they are not all inside of it. */
  uint32_t* WordsAt(uint32_t address, size_t size);

 private:
  static constexpr uint32_t kBatch = 64;

  uint32_t Send(uint32_t queue);
  void SendXdp(uint32_t queue);
  void WakeXdp(const uint32_t* xsk);
  uint32_t AimSend(const uint32_t* entries, uint32_t count);
  int WriteMany(int fd, uint32_t count);
  void Receive(uint32_t queue);
  void Fetch(uint32_t* words);
  void Fill(uint32_t* words);
  int ReadMany(int fd, uint32_t count);
  void AimReceive(uint32_t index, uint8_t* data, size_t size);
  void Publish(uint8_t* frame, uint32_t index, const timespec& now);

  uint8_t* memory_;
  size_t size_;
  mmsghdr messages_[kBatch];
  iovec vectors_[kBatch];
  alignas(cmsghdr) char control_[kBatch][CMSG_SPACE(sizeof(tpacket_auxdata))];
};

}  // namespace wdp
