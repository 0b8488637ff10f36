// Module calls inside a model, which a step has hundreds of: the part of `Scopes` and `Paths` that
// notes one, without a frame of Python. Whatever is not usual is left to those.
#pragma once

#include <Python.h>

#include <ATen/SequenceNumber.h>

#include "events.h"

namespace memprof {

// From now on the calling thread is in a module and a phase.
inline void move_to(Thread& here, int32_t module, int32_t phase) {
  if (module != here.module) {
    here.module = module;
    here.append(kModule, PyThread_get_thread_ident(), at::sequence_number::peek(), module);
  }
  here.phase = phase;
}

// An object that is let go of at the end of the block.
class Owned {
 public:
  explicit Owned(PyObject* object) : object_(object) {}
  ~Owned() { Py_XDECREF(object_); }
  Owned(const Owned&) = delete;
  PyObject* get() const { return object_; }

 private:
  PyObject* object_;
};

inline PyObject* calls_of(PyObject* scope) {
  static PyObject* const name = PyUnicode_InternFromString("calls");
  return PyObject_GetAttr(scope, name);
}

inline PyObject* const& module_name() {
  static PyObject* const name = PyUnicode_InternFromString("module");
  return name;
}

inline void move_scope(PyObject* scope, PyObject* module) {
  PyObject_SetAttr(scope, module_name(), module);
  Thread& here = this_thread();
  move_to(here, int32_t(PyLong_AsLong(module)), here.phase);
}

// The string number of a module's path, borrowed from `Paths.known`; null where it is not there.
inline PyObject* known_number(PyObject* known, PyObject* module) {
  const Owned key(PyLong_FromVoidPtr(module));
  PyObject* entry = PyDict_GetItem(known, key.get());
  const bool same = entry && PyWeakref_GetObject(PyTuple_GET_ITEM(entry, 0)) == module;
  return same ? PyTuple_GET_ITEM(entry, 2) : nullptr;
}

// Makes a module the innermost of the calling thread's scope, which is returned, borrowed; null
// where no module is being called yet, or this one is not known.
inline PyObject* enter_inner(PyObject* threads, PyObject* known, PyObject* module) {
  const Owned ident(PyLong_FromUnsignedLong(PyThread_get_thread_ident()));
  PyObject* scope = PyDict_GetItem(threads, ident.get());
  PyObject* number = scope ? known_number(known, module) : nullptr;
  if (!number) {
    return nullptr;
  }
  const Owned calls(calls_of(scope)), before(PyObject_GetAttr(scope, module_name()));
  if (!calls.get() || !before.get() || !PyList_GET_SIZE(calls.get())) {
    return nullptr;
  }
  const Owned call(PyTuple_Pack(2, module, before.get()));
  if (!call.get() || PyList_Append(calls.get(), call.get())) {
    return nullptr;
  }
  move_scope(scope, number);
  return scope;
}

// Leaves the innermost module of a scope; false where that is another one, or the outermost.
inline bool leave_inner(PyObject* scope, PyObject* module) {
  const Owned calls(calls_of(scope));
  const Py_ssize_t last = calls.get() ? PyList_GET_SIZE(calls.get()) - 1 : 0;
  PyObject* call = last > 0 ? PyList_GET_ITEM(calls.get(), last) : nullptr;
  if (!call || PyTuple_GET_ITEM(call, 0) != module) {
    return false;
  }
  move_scope(scope, PyTuple_GET_ITEM(call, 1));
  return PyList_SetSlice(calls.get(), last, last + 1, nullptr) == 0;
}

}  // namespace memprof
