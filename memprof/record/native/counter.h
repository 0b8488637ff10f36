// What the allocators hand out over a stretch of the program: summed, and nothing else.
#pragma once

#include <c10/core/Device.h>
#include <torch/csrc/profiler/orchestration/observer.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace memprof {

using torch::profiler::impl::ActiveProfilerType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;
using torch::profiler::impl::ProfilerStateBase;

constexpr int kDeviceTypes = c10::COMPILE_TIME_MAX_DEVICE_TYPES, kDeviceIndices = 16;

inline std::atomic<bool> counting{false};

// One device's. The level is counted from where the stretch began, and may fall below that.
struct Tally {
  std::atomic<int64_t> allocations{0}, bytes{0}, level{0}, highest{0};

  void note(int64_t change) {
    const int64_t now = level.fetch_add(change) + change;
    if (change < 0) {
      return;
    }
    ++allocations;
    bytes += change;
    int64_t known = highest.load();
    while (now > known && !highest.compare_exchange_weak(known, now)) {
    }
  }

  void clear() { allocations = bytes = level = highest = 0; }
};

inline Tally tallies[kDeviceTypes][kDeviceIndices];

inline void count(c10::Device device, int64_t bytes) {
  if (counting.load(std::memory_order_relaxed)) {
    const int index = device.has_index() && !device.is_cpu() ? device.index() : 0;
    tallies[int(device.type())][index % kDeviceIndices].note(bytes);
  }
}

// Hands out, and forgets, what was counted on each device that anything was allocated on.
template <typename Take>
void each_counted(Take take) {
  for (int type = 0; type < kDeviceTypes; ++type) {
    for (int index = 0; index < kDeviceIndices; ++index) {
      Tally& tally = tallies[type][index];
      if (tally.allocations) {
        const auto kind = c10::DeviceType(type);
        const c10::Device device(kind, kind == c10::DeviceType::CPU ? -1 : index);
        take(device.str(), tally.allocations, tally.bytes, tally.highest);
      }
      tally.clear();
    }
  }
}

// Stands where the observer stands while the other recorder is checked.
class Counter final : public ProfilerStateBase {
 public:
  Counter() : ProfilerStateBase(ProfilerConfig(ProfilerState::Disabled, false, true)) {}

  ActiveProfilerType profilerType() override { return ActiveProfilerType::NONE; }

  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (bytes) {
      count(device, bytes);
    }
  }
};

}  // namespace memprof
