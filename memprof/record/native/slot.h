// The calling thread's place for one that is told of allocations: ours, a profiler's, or nobody's.
#pragma once

#include <c10/util/ThreadLocalDebugInfo.h>

#include <memory>

#include "counter.h"

namespace memprof {

inline const auto kSlot = c10::DebugInfoKind::PROFILER_STATE;

inline std::shared_ptr<ProfilerStateBase>& enrolled() {
  thread_local std::shared_ptr<ProfilerStateBase> state;
  return state;
}

inline bool slot_is_ours() {
  return enrolled() && c10::ThreadLocalDebugInfo::get(kSlot) == enrolled().get();
}

// Puts a new `State` into the slot, in place of another of ours; false where a profiler has it.
template <typename State>
bool enroll() {
  if (slot_is_ours()) {
    c10::ThreadLocalDebugInfo::_pop(kSlot);
  }
  if (c10::ThreadLocalDebugInfo::get(kSlot)) {
    return false;
  }
  enrolled() = std::make_shared<State>();
  c10::ThreadLocalDebugInfo::_push(kSlot, enrolled());
  return true;
}

inline bool leave() {
  const bool ours = slot_is_ours();
  if (ours) {
    c10::ThreadLocalDebugInfo::_pop(kSlot);
  }
  enrolled().reset();
  return ours;
}

}  // namespace memprof
