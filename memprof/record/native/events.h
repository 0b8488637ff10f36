// What is noted when memory comes and goes: one buffer a thread, written without a lock.
#pragma once

#include <c10/core/Device.h>

#include <atomic>

#include "blocks.h"
#include "texts.h"

namespace memprof {

constexpr uint32_t kChunkWords = 8 << 10;
constexpr int kMaxChunks = 4096;  // 256 MiB of records that nobody came to read

enum Origin : uint8_t { kOperation = 0, kBefore = 1, kFound = 2, kResized = 4 };

// Records are words of 64 bits; the first holds what it is and when it was.
//   birth  time, address, bytes, module | phase, op | stack, autograd node, device | origin
//   death  time, address
//   label  time, address, bytes, kind | device, name | module, tensor text
//   like   time, address, kind | tensor text, address of the block whose name it takes
//   module time, thread, autograd node, module that makes this and later nodes
//   stream time, address, stream that it was made for, if that is not the device's default one
enum What : uint64_t {
  kBirth = 1, kDeath = 2, kLabel = 3, kLike = 4, kModule = 5, kStream = 6
};

constexpr int kWords[] = {0, 7, 2, 6, 4, 4, 3};
constexpr int kTimeBits = 60;

inline uint64_t paired(uint32_t high, uint32_t low) { return uint64_t(high) << 32 | low; }
inline uint32_t high_of(uint64_t pair) { return uint32_t(pair >> 32); }
inline uint32_t low_of(uint64_t pair) { return uint32_t(pair); }
inline What what_of(const uint64_t* record) { return What(record[0] >> kTimeBits); }
inline int64_t time_of(const uint64_t* record) {
  return int64_t(record[0] & ((uint64_t{1} << kTimeBits) - 1));
}

inline std::atomic<int64_t> lost{0};
inline std::atomic<uint32_t> recording{0};  // odd while one runs; each has a number of its own

struct Chunk {
  std::atomic<uint32_t> filled{0};
  std::atomic<Chunk*> next{nullptr};
  uint64_t words[kChunkWords];
};

// Chunks are used again: fresh memory from the system costs more than everything else here.
class Pool {
 public:
  Chunk* take() {
    std::lock_guard<std::mutex> guard(mutex_);
    if (idle_.empty()) {
      return made_ < kMaxChunks ? (++made_, new Chunk) : nullptr;
    }
    Chunk* chunk = idle_.back();
    idle_.pop_back();
    chunk->filled.store(0, std::memory_order_relaxed);
    chunk->next.store(nullptr, std::memory_order_relaxed);
    return chunk;
  }

  void give(Chunk* chunk) {
    std::lock_guard<std::mutex> guard(mutex_);
    idle_.push_back(chunk);
  }

 private:
  std::mutex mutex_;
  std::vector<Chunk*> idle_;
  int made_ = 0;
};

inline Pool& pool() {
  static Pool* chunks = new Pool;
  return *chunks;
}

// One operating-system thread. Only that thread writes, only the ledger reads.
struct Thread {
  std::atomic<bool> writing{false};
  Chunk* tail;
  Chunk* head;
  uint32_t read = 0;
  uint32_t run = 0;
  int32_t module = 0, phase = 0;
  bool observed = false, muted = false;
  Origin origin = kOperation;
  int64_t born = 0, born_bytes = 0, died = 0;
  std::vector<int32_t> ops;
  std::unordered_map<uint64_t, int32_t> stacks, names, tensors;

  Thread() : tail(new Chunk), head(tail) {}

  void renew(uint32_t now) {
    if (run != now) {
      run = now;
      module = phase = 0;
      muted = false;
      ops.clear();
      for (auto* known : {&stacks, &names, &tensors}) {
        known->clear();
      }
    }
  }

  // `writing` is up before the clock is read: a reader that sees it down after its own look at
  // the clock knows that no record of an earlier time can still come.
  template <typename... Words>
  void append(What what, Words... words) {
    writing.store(true, std::memory_order_seq_cst);
    if (uint64_t* place = claim(sizeof...(words) + 1)) {
      *place++ = uint64_t(what) << kTimeBits | uint64_t(now_ns());
      ((*place++ = uint64_t(words)), ...);
      tail->filled.store(uint32_t(place - tail->words), std::memory_order_release);
    } else {
      ++lost;
    }
    writing.store(false, std::memory_order_release);
  }

 private:
  uint64_t* claim(uint32_t words) {
    uint32_t filled = tail->filled.load(std::memory_order_relaxed);
    if (filled + words > kChunkWords) {
      Chunk* fresh = pool().take();
      if (!fresh) {
        return nullptr;
      }
      tail->next.store(fresh, std::memory_order_release);
      tail = fresh;
      filled = 0;
    }
    return tail->words + filled;
  }
};

struct Threads {
  std::mutex mutex;
  std::vector<Thread*> all, idle;
};

inline Threads& threads() {
  static Threads* known = new Threads;
  return *known;
}

// A thread that ends leaves its buffer, which the next new thread takes over.
struct OwnThread {
  Thread* thread = nullptr;
  ~OwnThread() {
    if (thread) {
      std::lock_guard<std::mutex> guard(threads().mutex);
      threads().idle.push_back(thread);
    }
  }
};

inline thread_local OwnThread own;

inline Thread* new_thread() {
  std::lock_guard<std::mutex> guard(threads().mutex);
  if (!threads().idle.empty()) {
    Thread* thread = threads().idle.back();
    threads().idle.pop_back();
    thread->run = 0;
    thread->observed = false;
    return thread;
  }
  threads().all.push_back(new Thread);
  return threads().all.back();
}

inline Thread& this_thread() {
  if (!own.thread) {
    own.thread = new_thread();
  }
  own.thread->renew(recording.load(std::memory_order_relaxed));
  return *own.thread;
}

}  // namespace memprof
