// The allocator observer. PyTorch's allocators report every allocation and free to the object in
// the thread-local slot PROFILER_STATE; `Observer` sits there. The report becomes one `Event` in
// the calling thread's own buffer: no lock, no Python. `Ledger::drain` reads all buffers in order of
// time, pairs frees with allocations and appends the rows that the trace file holds.

#include "stacks.h"

#include <array>
#include <cstring>

#include "calls.h"
#include "graph.h"
#include "slot.h"

namespace {

using namespace memprof;

c10::StorageImpl* storage_at(PyObject* address) {
  return static_cast<c10::StorageImpl*>(PyLong_AsVoidPtr(address));
}

// Runs `work` with the ledger to itself and up to date.
template <typename Work>
auto with_ledger(Work work) {
  Ledger& book = ledger();
  std::unique_lock<std::mutex> lock(book.mutex, std::try_to_lock);
  if (!lock) {  // the journal is at it, and does not need the interpreter for that
    Py_BEGIN_ALLOW_THREADS lock.lock();
    Py_END_ALLOW_THREADS
  }
  book.drain();
  return work(book);
}

// Whether somebody reported the memory at an address, such as that which processes share.
bool is_reported(Address address) {
  return with_ledger([&](Ledger& book) { return book.live.find(address) != nullptr; });
}

// label(storage, tensor or 0, kind, name, module) -> 0, -1 if nobody reports it, -2 if no memory
PyObject* py_label(PyObject*, PyObject* const* args, Py_ssize_t) {
  c10::StorageImpl* storage = storage_at(args[0]);
  const Address address = memory_of(storage);
  if (!address) {
    return PyLong_FromLong(kNoMemory);
  }
  Thread& here = this_thread();
  if (!(here.observed && comes_from_allocator(*storage)) && !is_reported(address)) {
    return PyLong_FromLong(kForeign);
  }
  const auto* tensor = static_cast<c10::TensorImpl*>(PyLong_AsVoidPtr(args[1]));
  const auto kind = uint32_t(PyLong_AsUnsignedLong(args[2]));
  const auto name = uint32_t(PyLong_AsLong(args[3])), module = uint32_t(PyLong_AsLong(args[4]));
  append_label(here, *storage, tensor, kind, name, module);
  return PyLong_FromLong(0);
}

using Leaves = std::vector<at::Tensor>;

// label_kept(roots, kind, number_of) -> (leaves, strangers)
//
// Labels what the graphs under the tensors `roots` keep, by the kind of node that keeps it;
// `number_of` numbers the names of those. The leaves are for `label_gradients`. Strangers are
// (tensor, name): tensors made of others, and those whose memory is not the allocator's.
PyObject* py_label_kept(PyObject*, PyObject* const* args, Py_ssize_t) {
  try {
    Walk walk(args[2], uint32_t(PyLong_AsUnsignedLong(args[1])));
    for (py::handle root : py::reinterpret_borrow<py::list>(args[0])) {
      walk.under(THPVariable_Unpack(root.ptr()));
    }
    const py::capsule leaves(new Leaves(std::move(walk.leaves)),
                             [](void* held) { delete static_cast<Leaves*>(held); });
    return py::make_tuple(leaves, walk.strangers).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// label_gradients(leaves, kind) -> the leaves that are not, or whose gradients are not, plain memory
PyObject* py_label_gradients(PyObject*, PyObject* const* args, Py_ssize_t) {
  Thread& here = this_thread();
  const auto kind = uint32_t(PyLong_AsUnsignedLong(args[1]));
  const auto* leaves = static_cast<const Leaves*>(PyCapsule_GetPointer(args[0], nullptr));
  if (!leaves) {
    return nullptr;
  }
  PyObject* strangers = PyList_New(0);
  for (const at::Tensor& leaf : *leaves) {
    const at::Tensor& gradient = leaf.grad();
    if (!gradient.defined()) {
      continue;
    }
    const Address address = plain_memory_of(gradient), of_leaf = plain_memory_of(leaf);
    if (here.observed && address && of_leaf && is_whole(gradient)) {
      const int32_t text = tensor_text(here, *gradient.unsafeGetTensorImpl());
      here.append(kLike, address, paired(kind, text), of_leaf);
    } else {
      const auto stranger = py::reinterpret_steal<py::object>(THPVariable_Wrap(leaf));
      PyList_Append(strangers, stranger.ptr());
    }
  }
  return strangers;
}

// since(born, bytes, died) -> the same three of the calling thread, counted from there
PyObject* py_since(PyObject*, PyObject* const* args, Py_ssize_t) {
  const Thread& here = this_thread();
  return Py_BuildValue("(LLL)", here.born - PyLong_AsLongLong(args[0]),
                       here.born_bytes - PyLong_AsLongLong(args[1]),
                       here.died - PyLong_AsLongLong(args[2]));
}

// known(storage) -> (id, bytes, labels, name, module) or None
PyObject* py_known(PyObject*, PyObject* storage) {
  const Address address = memory_of(storage_at(storage));
  Block found;
  with_ledger([&](Ledger& book) {
    if (Block* block = address ? book.live.find(address) : nullptr) {
      found = *block;
    }
  });
  if (found.id < 0) {
    Py_RETURN_NONE;
  }
  return Py_BuildValue("(LLIii)", found.id, found.bytes, found.labels, found.name, found.module);
}

// alive_since(id) -> [(id, labels)] of what lives and was allocated from `id` on
PyObject* py_alive_since(PyObject*, PyObject* first) {
  const int64_t from = PyLong_AsLongLong(first);
  std::vector<std::pair<int64_t, uint32_t>> found;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      if (block.id >= from) {
        found.emplace_back(block.id, block.labels);
      }
    });
  });
  PyObject* list = PyList_New(Py_ssize_t(found.size()));
  for (size_t i = 0; list && i < found.size(); ++i) {
    PyObject* pair = Py_BuildValue("(LI)", found[i].first, found[i].second);
    PyList_SET_ITEM(list, Py_ssize_t(i), pair);
  }
  return list;
}

// unlabelled_like(kind) -> whether a block without a label has the size of one of a kind, half or twice
PyObject* py_unlabelled_like(PyObject*, PyObject* kind) {
  const auto label = uint32_t(PyLong_AsUnsignedLong(kind));
  std::unordered_set<int64_t> sizes;
  bool any = false;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      if (block.labels >> label & 1) {
        sizes.insert({block.bytes / 2, block.bytes, block.bytes * 2});
      }
    });
    book.live.each([&](const Block& block) { any |= !block.labels && sizes.count(block.bytes); });
  });
  return PyBool_FromLong(any);
}

// any_without(labels, least, before) -> whether a block of at least so many bytes, with an id below
// `before`, has none of some labels
PyObject* py_any_without(PyObject*, PyObject* const* args, Py_ssize_t) {
  const auto labels = uint32_t(PyLong_AsUnsignedLong(args[0]));
  const int64_t least = PyLong_AsLongLong(args[1]), before = PyLong_AsLongLong(args[2]);
  bool any = false;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      any |= block.bytes >= least && block.id < before && !(block.labels & labels);
    });
  });
  return PyBool_FromLong(any);
}

// existed(storage, found) -> whether its memory is the allocator's, and so from now on in the ledger
PyObject* py_existed(PyObject*, PyObject* const* args, Py_ssize_t) {
  c10::StorageImpl* storage = storage_at(args[0]);
  if (!memory_of(storage) || !comes_from_allocator(*storage)) {
    Py_RETURN_FALSE;
  }
  void* address = storage->_mutable_data_ptr_no_checks().get();
  Thread& here = this_thread();
  here.origin = args[1] == Py_True ? kFound : kBefore;
  if (storage->device_type() == c10::DeviceType::CPU) {
    // PyTorch reports the free of what it knows the size of: this is how it learns that.
    c10::profiledCPUMemoryReporter().New(address, storage->nbytes());
  } else {
    c10::reportMemoryUsageToProfiler(address, int64_t(storage->nbytes()), 0, 0, storage->device());
  }
  here.origin = kOperation;
  Py_RETURN_TRUE;
}

// noted_late(storage): what a muted thread has just allocated
PyObject* py_noted_late(PyObject*, PyObject* of) {
  c10::StorageImpl* storage = storage_at(of);
  const Address address = memory_of(storage);
  if (address && comes_from_allocator(*storage) && !is_reported(address)) {
    c10::reportMemoryUsageToProfiler(reinterpret_cast<void*>(address), int64_t(storage->nbytes()),
                                     0, 0, storage->device());
  }
  Py_RETURN_NONE;
}

// died(address): what lived there is gone, and its end was not reported
PyObject* py_died(PyObject*, PyObject* address) {
  this_thread().append(kDeath, Address(PyLong_AsVoidPtr(address)));
  Py_RETURN_NONE;
}

// continues(storage, id): what lives there now goes on from allocation `id`, labels and all
PyObject* py_continues(PyObject*, PyObject* const* args, Py_ssize_t) {
  const Address address = memory_of(storage_at(args[0]));
  const Row previous = PyLong_AsLongLong(args[1]);
  const auto labels = uint32_t(PyLong_AsUnsignedLong(args[2]));
  const auto name = int32_t(PyLong_AsLong(args[3])), module = int32_t(PyLong_AsLong(args[4]));
  with_ledger([&](Ledger& book) {
    Block* block = address ? book.live.find(address) : nullptr;
    if (!block || block->id == previous) {
      return;
    }
    for (size_t row = book.allocations.size(); row >= 9; row -= 9) {
      if (book.allocations[row - 9] == block->id) {
        book.allocations[row - 2] = kResized;
        book.allocations[row - 1] = previous;
        block->labels = labels;
        block->name = name;
        block->module = module;
        break;
      }
    }
  });
  Py_RETURN_NONE;
}

// place(module, phase): where the calling thread is from now on
PyObject* py_place(PyObject*, PyObject* const* args, Py_ssize_t) {
  move_to(this_thread(), int32_t(PyLong_AsLong(args[0])), int32_t(PyLong_AsLong(args[1])));
  Py_RETURN_NONE;
}

// enter_inner(threads, known, module) -> the scope, or None where Python must see to it
PyObject* py_enter_inner(PyObject*, PyObject* const* args, Py_ssize_t) {
  PyObject* scope = enter_inner(args[0], args[1], args[2]);
  PyErr_Clear();
  return Py_NewRef(scope ? scope : Py_None);
}

// leave_inner(scope, module) -> False where Python must see to it
PyObject* py_leave_inner(PyObject*, PyObject* const* args, Py_ssize_t) {
  const bool left = leave_inner(args[0], args[1]);
  PyErr_Clear();
  return PyBool_FromLong(left);
}

PyObject* py_next_id(PyObject*, PyObject*) {
  return PyLong_FromLongLong(with_ledger([](Ledger& book) { return book.next_id++; }));
}

using Rows = std::vector<Row>;

PyObject* room_for(const Rows& rows) {
  return PyBytes_FromStringAndSize(nullptr, Py_ssize_t(rows.size() * sizeof(Row)));
}

PyObject* list_of(const std::vector<Text>& fresh) {
  PyObject* list = PyList_New(Py_ssize_t(fresh.size()));
  for (size_t i = 0; list && i < fresh.size(); ++i) {
    const std::string& words = fresh[i].words;
    PyObject* text = PyUnicode_DecodeUTF8(words.data(), Py_ssize_t(words.size()), "replace");
    PyList_SET_ITEM(list, Py_ssize_t(i), Py_BuildValue("(iN)", int(fresh[i].kind), text));
  }
  return list;
}

// take() -> (allocations, events, labels, details, sequences, streams) as int64 rows, and (kind,
// text) of each text new since last time. The program waits for the interpreter meanwhile: rows are copied
// without it.
PyObject* py_take(PyObject*, PyObject*) {
  std::array<Rows, 6> tables;
  std::vector<Text> fresh;
  Py_BEGIN_ALLOW_THREADS {
    Ledger& book = ledger();
    std::lock_guard<std::mutex> guard(book.mutex);
    book.drain();
    tables[0].swap(book.allocations);
    tables[1].swap(book.events);
    tables[2].swap(book.labels);
    tables[3].swap(book.details);
    tables[4].swap(book.sequences);
    tables[5].swap(book.streams);
    fresh = texts().take();
  }
  Py_END_ALLOW_THREADS
  std::array<PyObject*, 6> taken;
  for (size_t i = 0; i < tables.size(); ++i) {
    taken[i] = room_for(tables[i]);
    if (!taken[i]) {
      return nullptr;
    }
  }
  Py_BEGIN_ALLOW_THREADS {
    for (size_t i = 0; i < tables.size(); ++i) {
      std::memcpy(PyBytes_AS_STRING(taken[i]), tables[i].data(), tables[i].size() * sizeof(Row));
      Rows().swap(tables[i]);
    }
  }
  Py_END_ALLOW_THREADS
  return Py_BuildValue("(NNNNNNN)", taken[0], taken[1], taken[2], taken[3], taken[4], taken[5],
                       list_of(fresh));
}

// drain() -> how many events wait to be taken
PyObject* py_drain(PyObject*, PyObject*) {
  size_t waiting = 0;
  Py_BEGIN_ALLOW_THREADS {
    Ledger& book = ledger();
    std::lock_guard<std::mutex> guard(book.mutex);
    book.drain();
    waiting = book.events.size() / 2;
  }
  Py_END_ALLOW_THREADS
  return PyLong_FromSize_t(waiting);
}

// counts() -> how many rows wait, live bytes, and what went wrong
PyObject* py_counts(PyObject*, PyObject*) {
  return with_ledger([](Ledger& book) {
    return Py_BuildValue("{s:n,s:L,s:L,s:L,s:L}", "waiting", Py_ssize_t(book.events.size() / 2),
                         "live_bytes", book.live_bytes, "missed_frees", book.missed_frees,
                         "unknown_frees", book.unknown_frees, "lost", lost.load());
  });
}

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
