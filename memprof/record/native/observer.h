// The object that the allocators report to, and the operator at work when they do.
#pragma once

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/function.h>

#include <algorithm>

#include "counter.h"
#include "stacks.h"

namespace memprof {

inline int64_t stack_bytes = 0;  // allocations of at least this size keep their stack
inline std::atomic<bool> pausing{false};  // births and deaths are noted, and nothing about them

constexpr int64_t kUnnumbered = int64_t{1} << 62;  // nodes that accumulate gradients

// Operators that only fetch memory for another one; negative numbers mark them.
inline bool fetches(std::string_view name) {
  static constexpr std::string_view kFetching[] = {
      "aten::empty",         "aten::empty_like",        "aten::empty_strided",
      "aten::new_empty",     "aten::new_empty_strided", "aten::resize_",
      "aten::empty_permuted"};
  return std::find(std::begin(kFetching), std::end(kFetching), name) != std::end(kFetching);
}

inline int32_t op_number(Thread& here, std::string_view name, std::string_view overload) {
  const uint64_t key = mixed(std::hash<std::string_view>{}(name),
                             std::hash<std::string_view>{}(overload));
  auto [known, fresh] = here.names.try_emplace(key, 0);
  if (fresh) {
    std::string text(name);
    if (const auto colons = text.find("::"); colons != std::string::npos) {
      text.replace(colons, 2, ".");
      text += "." + (overload.empty() ? std::string("default") : std::string(overload));
    }
    const int32_t number = texts().number(kName, text);
    known->second = fetches(name) ? -number : number;
  }
  return known->second;
}

inline std::unique_ptr<at::ObserverContext> op_begins(const at::RecordFunction& function) {
  Thread& here = this_thread();
  const int32_t around = here.ops.empty() ? 0 : here.ops.back();
  const int32_t number = op_number(here, function.name(), function.overload_name());
  here.ops.push_back(number < 0 && around ? around : number);
  return nullptr;
}

inline void op_ends(const at::RecordFunction&, at::ObserverContext*) {
  Thread& here = this_thread();
  if (!here.ops.empty()) {
    here.ops.pop_back();
  }
}

inline uint32_t device_code(c10::Device device) {
  return uint32_t(device.type()) << 8 | uint8_t(device.index());
}

inline int64_t running_node() {
  const auto node = torch::autograd::get_current_node();
  const auto number = node ? int64_t(node->sequence_nr()) : -1;
  return number < kUnnumbered ? number : -1;
}

// The calling thread's stream of a device; 0 is the default one, and all there is of a CPU.
inline int64_t stream_at_work(c10::Device device) {
  if (device.is_cpu() || !c10::impl::hasDeviceGuardImpl(device.type())) {
    return 0;
  }
  return c10::impl::getDeviceGuardImpl(device.type())->getStream(device).id();
}

// One for each thread that was enrolled; autograd carries it to its own threads.
class Observer final : public ProfilerStateBase {
 public:
  Observer()
      : ProfilerStateBase(ProfilerConfig(ProfilerState::Disabled, false, true)),
        run_(recording.load()),
        owner_(this_thread()) {}

  ActiveProfilerType profilerType() override { return ActiveProfilerType::NONE; }

  void reportMemoryUsage(void* address, int64_t bytes, size_t, size_t,
                         c10::Device device) override {
    if (!bytes || recording.load(std::memory_order_relaxed) != run_) {
      return;
    }
    Thread& here = this_thread();
    if (here.origin == kOperation) {
      count(device, bytes);
    }
    if (bytes < 0) {
      ++here.died;
      here.append(kDeath, Address(address));
    } else if (!here.muted) {
      ++here.born;
      here.born_bytes += bytes;
      birth(here, Address(address), bytes, device);
    }
  }

 private:
  // A thread of autograd's own works for the one that enrolled, unless it has a place itself.
  void birth(Thread& here, Address address, int64_t bytes, c10::Device device) {
    const int32_t module = here.module || here.phase ? here.module : owner_.module;
    const int32_t phase = here.phase ? here.phase : owner_.phase;
    if (pausing.load(std::memory_order_relaxed)) {
      here.append(kBirth, address, bytes, paired(0, phase), 0, int64_t{-1},
                  paired(device_code(device), here.origin));
      return;
    }
    const int64_t stream = stream_at_work(device);
    const bool large = stack_bytes && bytes >= stack_bytes && here.origin == kOperation;
    here.append(kBirth, address, bytes, paired(module, phase),
                paired(here.ops.empty() ? 0 : std::abs(here.ops.back()),
                       large ? python_stack(here) : 0),
                running_node(), paired(device_code(device), here.origin));
    if (stream && here.origin == kOperation) {
      here.append(kStream, address, stream);
    }
  }

  const uint32_t run_;
  Thread& owner_;
};

}  // namespace memprof
