// The allocator observer. PyTorch's allocators report every allocation and free to the object in
// the thread-local slot PROFILER_STATE; `Observer` sits there. The report becomes one `Event` in
// the calling thread's own buffer: no lock, no Python. `Ledger::drain` reads all buffers in order of
// time, pairs frees with allocations and appends the rows that the trace file holds.

#include "notes.h"
#include "observer.h"
#include "slot.h"

namespace {

using namespace memprof;

// enroll() -> False where a profiler has the slot already
PyObject* py_enroll(PyObject*, PyObject*) {
  if (!enroll<Observer>()) {
    Py_RETURN_FALSE;
  }
  this_thread().observed = true;
  Py_RETURN_TRUE;
}

// enroll_counter(): the same, for a thread that is to be counted and not observed
PyObject* py_enroll_counter(PyObject*, PyObject*) {
  if (!enroll<Counter>()) {
    Py_RETURN_FALSE;
  }
  this_thread().observed = false;
  Py_RETURN_TRUE;
}

PyObject* py_enrolled(PyObject*, PyObject*) { return PyBool_FromLong(slot_is_ours()); }

// leave() -> whether this thread was enrolled and is no more
PyObject* py_leave(PyObject*, PyObject*) {
  const bool ours = leave();
  this_thread().observed = false;
  return PyBool_FromLong(ours);
}

at::CallbackHandle op_callback = 0;

// mute(on) -> whether it was: a muted thread's allocations are not noted, its frees are
PyObject* py_mute(PyObject*, PyObject* on) {
  return PyBool_FromLong(std::exchange(this_thread().muted, on == Py_True));
}

// observed() -> whether what this thread frees is reported to an observer of ours
PyObject* py_observed(PyObject*, PyObject*) {
  auto* slot = c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE);
  return PyBool_FromLong(dynamic_cast<Observer*>(slot) != nullptr);
}

// pause(whether): from now on births and deaths alone are noted, or everything again
PyObject* py_pause(PyObject*, PyObject* whether) {
  const bool pause = whether == Py_True;
  if (op_callback && pause != pausing) {
    pause ? at::disableCallback(op_callback) : at::reenableCallback(op_callback);
  }
  pausing = pause;
  Py_RETURN_NONE;
}

// count(whether): begins or ends to count what the threads enrolled allocate
PyObject* py_count(PyObject*, PyObject* whether) {
  counting = whether == Py_True;
  Py_RETURN_NONE;
}

// counted() -> {device: (allocations, bytes, highest rise)} since it was last asked
PyObject* py_counted(PyObject*, PyObject*) {
  PyObject* found = PyDict_New();
  each_counted([&](const std::string& device, int64_t calls, int64_t bytes, int64_t highest) {
    PyObject* counts = Py_BuildValue("(LLL)", (long long)calls, (long long)bytes, (long long)highest);
    PyDict_SetItemString(found, device.c_str(), counts);
    Py_XDECREF(counts);
  });
  return found;
}

// start(stack_bytes, ops): an empty ledger; threads enroll after it
PyObject* py_start(PyObject*, PyObject* args) {
  int ops = 0;
  if (!PyArg_ParseTuple(args, "Lp", &stack_bytes, &ops)) {
    return nullptr;
  }
  with_ledger([](Ledger& book) { book.clear(); });
  texts().clear();
  node_types().clear();
  lost = 0;
  pausing = counting = false;
  ++recording;
  if (ops) {
    op_callback = at::addGlobalCallback(at::RecordFunctionCallback(&op_begins, &op_ends)
                                            .scopes({at::RecordScope::FUNCTION}));
  }
  Py_RETURN_NONE;
}

PyObject* py_stop(PyObject*, PyObject*) {
  if (recording % 2) {
    ++recording;
    if (op_callback) {
      at::removeCallback(std::exchange(op_callback, 0));
    }
  }
  Py_RETURN_NONE;
}

// forget(): in a forked child, where other threads and what they locked are gone
PyObject* py_forget(PyObject*, PyObject*) {
  new (&ledger().mutex) std::mutex;
  new (&threads().mutex) std::mutex;
  py_leave(nullptr, nullptr);
  return py_stop(nullptr, nullptr);
}

#define FAST(name, function) \
  {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL, ""}

PyMethodDef methods[] = {
    {"start", py_start, METH_VARARGS, ""},
    {"stop", py_stop, METH_NOARGS, ""},
    {"forget", py_forget, METH_NOARGS, ""},
    {"enroll", py_enroll, METH_NOARGS, ""},
    {"enroll_counter", py_enroll_counter, METH_NOARGS, ""},
    {"enrolled", py_enrolled, METH_NOARGS, ""},
    {"leave", py_leave, METH_NOARGS, ""},
    {"mute", py_mute, METH_O, ""},
    {"observed", py_observed, METH_NOARGS, ""},
    {"pause", py_pause, METH_O, ""},
    {"count", py_count, METH_O, ""},
    {"counted", py_counted, METH_NOARGS, ""},
    {"drain", py_drain, METH_NOARGS, ""},
    {"take", py_take, METH_NOARGS, ""},
    {"counts", py_counts, METH_NOARGS, ""},
    {"next_id", py_next_id, METH_NOARGS, ""},
    {"noted_late", py_noted_late, METH_O, ""},
    {"died", py_died, METH_O, ""},
    {"known", py_known, METH_O, ""},
    {"alive_since", py_alive_since, METH_O, ""},
    {"unlabelled_like", py_unlabelled_like, METH_O, ""},
    FAST("any_without", py_any_without),
    FAST("existed", py_existed),
    FAST("since", py_since),
    FAST("place", py_place),
    FAST("enter_inner", py_enter_inner),
    FAST("leave_inner", py_leave_inner),
    FAST("label", py_label),
    FAST("label_kept", py_label_kept),
    FAST("label_gradients", py_label_gradients),
    FAST("continues", py_continues),
    {nullptr, nullptr, 0, nullptr}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_memprof_native", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__memprof_native() {
  return PyModule_Create(&definition);
}
