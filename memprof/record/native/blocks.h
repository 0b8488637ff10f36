// A hash table from addresses to live blocks, without an allocation of its own for each: some
// thousand blocks come and go in every step, and everything else waits for that.
#pragma once

#include <cstdint>
#include <vector>

namespace memprof {

using Address = uintptr_t;

struct Block {
  int64_t id = -1, bytes = 0;
  uint32_t labels = 0;
  int32_t name = 0, module = 0, stack = 0;
  bool detailed = false;
};

class Blocks {
 public:
  Blocks() : slots_(kSmallest) {}

  Block* find(Address address) {
    Slot& slot = slots_[place_of(address)];
    return slot.address ? &slot.block : nullptr;
  }

  // The block at an address, a new one with id -1 if there is none.
  Block& at(Address address) {
    if (2 * (count_ + 1) > slots_.size()) {
      grow();
    }
    Slot& slot = slots_[place_of(address)];
    if (!slot.address) {
      slot = {address, Block{}};
      ++count_;
    }
    return slot.block;
  }

  // Closes the hole by moving back what had to make way for the erased block.
  void erase(Address address) {
    size_t hole = place_of(address);
    if (!slots_[hole].address) {
      return;
    }
    --count_;
    for (size_t next = (hole + 1) & mask(); slots_[next].address; next = (next + 1) & mask()) {
      const size_t home = home_of(slots_[next].address);
      if (((next - home) & mask()) >= ((next - hole) & mask())) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole] = Slot{};
  }

  template <typename Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.address) {
        visit(slot.block);
      }
    }
  }

  void clear() {
    slots_.assign(kSmallest, Slot{});
    count_ = 0;
  }

 private:
  static constexpr size_t kSmallest = 1 << 12;

  struct Slot {
    Address address = 0;
    Block block;
  };

  size_t mask() const { return slots_.size() - 1; }
  size_t home_of(Address address) const {
    return (uint64_t(address) * 0x9E3779B97F4A7C15u >> 20) & mask();
  }

  // Where an address is, or where it would go.
  size_t place_of(Address address) const {
    size_t place = home_of(address);
    while (slots_[place].address && slots_[place].address != address) {
      place = (place + 1) & mask();
    }
    return place;
  }

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.address) {
        slots_[place_of(slot.address)] = slot;
      }
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace memprof
