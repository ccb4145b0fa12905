"""Build stand-ins for the library of an Edge TPU.

Shared libraries with the interface of TFLite's external delegates.

A stand-in takes the first operator of a network and leaves its output as it is, so that results differ from the
processor's. Its behaviour is chosen by the name it is built with.
"""

import shutil
import subprocess

SOURCE = r"""
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Layouts of tensorflow/lite/core/c/common.h: the beginnings that are used here. */
typedef struct { int size; int data[]; } IntArray;
typedef struct Delegate Delegate;
typedef struct Context Context;
typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, void *);
  int (*invoke)(Context *, void *);
  const char *(*profiling)(const Context *, const void *);
  int32_t builtin;
  const char *name;
  int version;
  void *external, *async;
  uint64_t inplace;
} Registration;
struct Context {
  size_t tensors;
  int (*plan)(Context *, IntArray **);
  void *tensor, *impl;
  void *resize, *report, *add, *node;
  int (*replace)(Context *, Registration, const IntArray *, Delegate *);
};
struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  void *from, *to, *release;
  int64_t flags;
  void *builder;
};

static int invoke(Context *context, void *node) {
  const char *lost = getenv("STAND_IN_LOST");  /* the device has gone while this file exists */
  return lost && access(lost, F_OK) == 0 ? 1 : 0;
}
static int prepare_node(Context *context, void *node) { return 0; }
static void *init(Context *context, const char *buffer, size_t length) { return NULL; }
static void release(Context *context, void *data) {}

static int prepare(Context *context, Delegate *delegate) {
  IntArray *plan;
  if (context->plan(context, &plan)) return 1;
  IntArray *first = malloc(sizeof(IntArray) + sizeof(int));
  first->size = 1;
  first->data[0] = plan->data[0];
  Registration kernel;
  memset(&kernel, 0, sizeof kernel);
  kernel.init = init;
  kernel.free = release;
  kernel.prepare = prepare_node;
  kernel.invoke = invoke;
  kernel.name = "stand-in";
  kernel.version = 1;
  int status = context->replace(context, kernel, first, delegate);
  free(first);
  return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  const char *lost = getenv("STAND_IN_LOST");
  if (BEHAVIOUR == 1 || (lost && access(lost, F_OK) == 0)) return NULL;
  if (BEHAVIOUR == 2) raise(SIGSEGV);
  if (BEHAVIOUR == 3) pause();
  Delegate *delegate = calloc(1, sizeof(Delegate));
  delegate->prepare = prepare;
  return delegate;
}
void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
"""
BEHAVIOURS = {"works": 0, "refuses": 1, "crashes": 2, "hangs": 3}


def build_delegate(folder, behaviour):
    """Return the path of a delegate library, or None without a compiler.

    Its behaviour is ``works``, ``refuses``, ``crashes`` or ``hangs``.
    """
    if shutil.which("gcc") is None:
        return None
    source, library = folder / "delegate.c", folder / f"{behaviour}.so"
    source.write_text(SOURCE, encoding="ascii")
    flags = ["-O1", "-shared", "-fPIC", "-w", f"-DBEHAVIOUR={BEHAVIOURS[behaviour]}"]
    subprocess.run(["gcc", *flags, "-o", library, source], check=True)
    return library


def attach_device(root):
    """Make the files of an Edge TPU on USB in a folder that stands for ``/``.

    Return its device file.
    """
    usb, device = root / "sys/bus/usb/devices/2-1", root / "dev/bus/usb/002/003"
    usb.mkdir(parents=True)
    device.parent.mkdir(parents=True)
    for name, text in {"idVendor": "18d1", "idProduct": "9302", "busnum": "2", "devnum": "3"}.items():
        (usb / name).write_text(text + "\n", encoding="ascii")
    device.touch()
    return device
