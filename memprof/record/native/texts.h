// Texts and the clock. A text is numbered once and handed to Python with the next rows.
#pragma once

#include <ctime>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace memprof {

inline int64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

enum TextKind : int { kName, kTensor, kStack };

struct Text {
  TextKind kind;
  std::string words;
};

class Texts {
 public:
  int32_t number(TextKind kind, std::string_view words) {
    std::lock_guard<std::mutex> guard(mutex_);
    auto [place, fresh] = numbers_.try_emplace(std::string(words), int32_t(numbers_.size() + 1));
    if (fresh) {
      untold_.push_back({kind, place->first});
    }
    return place->second;
  }

  std::vector<Text> take() {
    std::lock_guard<std::mutex> guard(mutex_);
    return std::exchange(untold_, {});
  }

  void clear() {
    std::lock_guard<std::mutex> guard(mutex_);
    numbers_.clear();
    untold_.clear();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, int32_t> numbers_;
  std::vector<Text> untold_;
};

inline Texts& texts() {
  static Texts* all = new Texts;  // threads may outlive static destructors
  return *all;
}

}  // namespace memprof
