// What Python tells the ledger: what memory is, where the program is, what nobody reported.
#pragma once

#include <Python.h>

#include "calls.h"
#include "graph.h"
#include "questions.h"

namespace memprof {


// label(storage, tensor or 0, kind, name, module) -> 0, -1 if nobody reports it, -2 if no memory
inline PyObject* py_label(PyObject*, PyObject* const* args, Py_ssize_t) {
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
inline PyObject* py_label_kept(PyObject*, PyObject* const* args, Py_ssize_t) {
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
inline PyObject* py_label_gradients(PyObject*, PyObject* const* args, Py_ssize_t) {
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

// existed(storage, found) -> whether its memory is the allocator's, and so from now on in the ledger
inline PyObject* py_existed(PyObject*, PyObject* const* args, Py_ssize_t) {
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
inline PyObject* py_noted_late(PyObject*, PyObject* of) {
  c10::StorageImpl* storage = storage_at(of);
  const Address address = memory_of(storage);
  if (address && comes_from_allocator(*storage) && !is_reported(address)) {
    c10::reportMemoryUsageToProfiler(reinterpret_cast<void*>(address), int64_t(storage->nbytes()),
                                     0, 0, storage->device());
  }
  Py_RETURN_NONE;
}

// died(address): what lived there is gone, and its end was not reported
inline PyObject* py_died(PyObject*, PyObject* address) {
  this_thread().append(kDeath, Address(PyLong_AsVoidPtr(address)));
  Py_RETURN_NONE;
}

// continues(storage, id): what lives there now goes on from allocation `id`, labels and all
inline PyObject* py_continues(PyObject*, PyObject* const* args, Py_ssize_t) {
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
inline PyObject* py_place(PyObject*, PyObject* const* args, Py_ssize_t) {
  move_to(this_thread(), int32_t(PyLong_AsLong(args[0])), int32_t(PyLong_AsLong(args[1])));
  Py_RETURN_NONE;
}

// enter_inner(threads, known, module) -> the scope, or None where Python must see to it
inline PyObject* py_enter_inner(PyObject*, PyObject* const* args, Py_ssize_t) {
  PyObject* scope = enter_inner(args[0], args[1], args[2]);
  PyErr_Clear();
  return Py_NewRef(scope ? scope : Py_None);
}

// leave_inner(scope, module) -> False where Python must see to it
inline PyObject* py_leave_inner(PyObject*, PyObject* const* args, Py_ssize_t) {
  const bool left = leave_inner(args[0], args[1]);
  PyErr_Clear();
  return PyBool_FromLong(left);
}

}  // namespace memprof
