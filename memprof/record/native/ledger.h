// What lives where, and the rows of the trace. Events are read here, in the order of time.
#pragma once

#include <algorithm>
#include <thread>
#include <unordered_map>

#include "blocks.h"
#include "events.h"

namespace memprof {

using Row = int64_t;

// Beside the kind of a label: to be noted even if it is there; only if the block is known.
constexpr uint32_t kAgain = 1 << 8, kIfKnown = 1 << 9, kKind = kAgain - 1;

struct Ledger {
  std::mutex mutex;
  Blocks live;
  std::unordered_map<int, int32_t> devices;
  std::vector<Row> allocations, events, labels, details, sequences, streams;
  int64_t next_id = 0, live_bytes = 0, missed_frees = 0, unknown_frees = 0;

  void clear() {
    drain();
    live.clear();
    devices.clear();
    for (auto* rows : {&allocations, &events, &labels, &details, &sequences, &streams}) {
      rows->clear();
    }
    next_id = live_bytes = missed_frees = unknown_frees = 0;
  }

  // Reads every record up to now, in the order of time, whichever thread wrote it.
  void drain() {
    const int64_t until = now_ns();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    int sources = 0;
    {
      std::lock_guard<std::mutex> guard(threads().mutex);
      for (Thread* thread : threads().all) {
        sources += collect(*thread, until);
      }
    }
    if (sources > 1) {
      std::stable_sort(batch_.begin(), batch_.end(), [](const uint64_t* a, const uint64_t* b) {
        return time_of(a) < time_of(b);
      });
    }
    for (const uint64_t* record : batch_) {
      note(record);
    }
    batch_.clear();
    for (Chunk* chunk : finished_) {
      pool().give(chunk);
    }
    finished_.clear();
  }

 private:
  bool collect(Thread& thread, int64_t until) {
    while (thread.writing.load(std::memory_order_acquire)) {
      std::this_thread::yield();
    }
    const size_t before = batch_.size();
    while (true) {
      Chunk* chunk = thread.head;
      Chunk* next = chunk->next.load(std::memory_order_acquire);
      const uint32_t filled = chunk->filled.load(std::memory_order_acquire);
      while (thread.read < filled) {
        const uint64_t* record = chunk->words + thread.read;
        if (time_of(record) > until) {
          return batch_.size() > before;
        }
        batch_.push_back(record);
        thread.read += kWords[what_of(record)];
      }
      if (!next) {
        return batch_.size() > before;
      }
      finished_.push_back(chunk);
      thread.head = next;
      thread.read = 0;
    }
  }

  void note(const uint64_t* record) {
    switch (what_of(record)) {
      case kBirth:
        return born(record);
      case kDeath:
        return died(record);
      case kLabel:
        return labelled(record);
      case kLike:
        return named_like(record);
      case kModule:
        sequences.insert(sequences.end(), record + 1, record + 4);
        return;
      case kStream:
        if (const Block* block = live.find(record[1])) {
          streams.insert(streams.end(), {time_of(record), block->id, Row(record[2]), 0});
        }
    }
  }

  void born(const uint64_t* record) {
    Block& block = renewed(record[1], int64_t(record[2]), time_of(record));
    block.stack = int32_t(low_of(record[4]));
    enter(block, time_of(record), high_of(record[4]), record[3], int64_t(record[5]),
          high_of(record[6]), low_of(record[6]));
    if (block.stack) {
      details.insert(details.end(), {block.id, 0, block.stack});
    }
  }

  Block& renewed(Address address, int64_t bytes, int64_t time) {
    Block& block = live.at(address);
    if (block.id >= 0) {  // freed where nobody looked: the allocator hands the address out again
      ++missed_frees;
      forget(block, time);
    }
    block = Block{};
    block.id = next_id++;
    block.bytes = bytes;
    live_bytes += bytes;
    return block;
  }

  void enter(const Block& block, int64_t time, Row op, uint64_t place, Row node, int device,
             Row origin) {
    allocations.insert(allocations.end(),
                       {block.id, block.bytes, op, int32_t(high_of(place)), int32_t(low_of(place)),
                        node, device_text(device), origin, -1});
    events.insert(events.end(), {time, block.id});
  }

  Row device_text(int code) {
    int32_t& known = devices[code];
    if (!known) {
      const auto kind = c10::DeviceType(code >> 8);
      const bool numbered = kind != c10::DeviceType::CPU;
      const auto index = c10::DeviceIndex(numbered ? int8_t(code & 255) : -1);
      known = texts().number(kName, c10::Device(kind, index).str());
    }
    return known;
  }

  void died(const uint64_t* record) {
    if (const Block* block = live.find(record[1])) {
      forget(*block, time_of(record));
      live.erase(record[1]);
    } else {
      ++unknown_frees;
    }
  }

  void forget(const Block& block, int64_t time) {
    live_bytes -= block.bytes;
    events.insert(events.end(), {time, ~block.id});
  }

  // What is labelled and was never seen to be born comes from a thread that nobody observes.
  void labelled(const uint64_t* record) {
    const int64_t time = time_of(record);
    const uint32_t how = high_of(record[3]), kind = how & kKind;
    Block* block = live.find(record[1]);
    if (!block) {
      if (how & kIfKnown) {
        return;
      }
      block = &renewed(record[1], int64_t(record[2]), time);
      enter(*block, time, 0, 0, -1, int(low_of(record[3])), kFound);
    }
    if (how & kAgain) {
      block->labels &= ~(1u << kind);
    }
    label(*block, kind, int32_t(high_of(record[4])), int32_t(low_of(record[4])), time);
    describe(*block, int32_t(record[5]));
  }

  void named_like(const uint64_t* record) {
    Block* block = live.find(record[1]);
    const Block* like = live.find(record[3]);
    if (block) {
      label(*block, high_of(record[2]), like ? like->name : 0, like ? like->module : 0,
            time_of(record));
      describe(*block, int32_t(low_of(record[2])));
    }
  }

  void label(Block& block, uint32_t kind, int32_t name, int32_t module, int64_t time) {
    if (block.labels >> kind & 1 && (block.name || !name)) {
      return;
    }
    block.labels |= 1u << kind;
    block.name = block.name ? block.name : name;
    block.module = block.module ? block.module : module;
    labels.insert(labels.end(), {time, block.id, kind, name, module});
  }

  void describe(Block& block, int32_t tensor) {
    if (tensor && !block.detailed) {
      block.detailed = true;
      details.insert(details.end(), {block.id, tensor, block.stack});
    }
  }

  std::vector<const uint64_t*> batch_;
  std::vector<Chunk*> finished_;
};

inline Ledger& ledger() {
  static Ledger* book = new Ledger;
  return *book;
}

}  // namespace memprof
