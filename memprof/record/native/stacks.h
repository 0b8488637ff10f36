// Python stacks, read without the interpreter lock. A thread that runs C++ code has its own frames
// below it; nobody else changes them meanwhile, and they keep their code objects alive. Nothing
// here counts a reference or makes an object.
#pragma once

#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_frame.h>

#include "events.h"

namespace memprof {

constexpr int kMaxFrames = 48;

inline std::string utf8(PyObject* text) {
  std::string out;
  for (Py_ssize_t i = 0, size = PyUnicode_GET_LENGTH(text); i < size; ++i) {
    const Py_UCS4 c = PyUnicode_READ_CHAR(text, i);
    if (c < 0x80) {
      out += char(c);
    } else if (c < 0x800) {
      out += {char(0xC0 | c >> 6), char(0x80 | (c & 63))};
    } else if (c < 0x10000) {
      out += {char(0xE0 | c >> 12), char(0x80 | (c >> 6 & 63)), char(0x80 | (c & 63))};
    } else {
      out += {char(0xF0 | c >> 18), char(0x80 | (c >> 12 & 63)), char(0x80 | (c >> 6 & 63)),
              char(0x80 | (c & 63))};
    }
  }
  return out;
}

struct Place {
  PyCodeObject* code;
  int instruction;
};

inline _PyInterpreterFrame* innermost_frame(PyThreadState* state) {
#if PY_VERSION_HEX >= 0x030D0000
  return state->current_frame;
#else
  return state->cframe ? state->cframe->current_frame : nullptr;
#endif
}

inline PyCodeObject* code_of(_PyInterpreterFrame* frame) {
#if PY_VERSION_HEX >= 0x030C0000
  if (frame->owner == FRAME_OWNED_BY_CSTACK) {
    return nullptr;
  }
#endif
#if PY_VERSION_HEX >= 0x030D0000
  PyObject* code = frame->f_executable;
#else
  PyObject* code = reinterpret_cast<PyObject*>(frame->f_code);
#endif
  return code && PyCode_Check(code) ? reinterpret_cast<PyCodeObject*>(code) : nullptr;
}

inline int python_places(Place* places) {
  PyThreadState* state = PyGILState_GetThisThreadState();
  int count = 0;
  for (auto* frame = state ? innermost_frame(state) : nullptr; frame && count < kMaxFrames;
       frame = frame->previous) {
    if (PyCodeObject* code = code_of(frame)) {
      places[count++] = {code, int(_PyInterpreterFrame_LASTI(frame))};
    }
  }
  return count;
}

inline std::string described(const Place& place) {
  const int line = PyCode_Addr2Line(place.code, place.instruction * int(sizeof(_Py_CODEUNIT)));
  return utf8(place.code->co_filename) + ":" + std::to_string(line) + " " +
      utf8(place.code->co_name);
}

inline uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 32;
}

// The number of the calling thread's stack, one "file:line function" a line, innermost first.
inline int32_t python_stack(Thread& here) {
  Place places[kMaxFrames];
  const int count = python_places(places);
  uint64_t key = count;
  for (int i = 0; i < count; ++i) {
    key = mixed(mixed(key, uint64_t(places[i].code)), uint64_t(places[i].instruction));
  }
  auto [known, fresh] = here.stacks.try_emplace(key, 0);
  if (fresh && count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
      text += (i ? "\n" : "") + described(places[i]);
    }
    known->second = texts().number(kStack, text);
  }
  return known->second;
}

}  // namespace memprof
