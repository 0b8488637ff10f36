/* A libnvidia-ml.so.1 that answers from the text file that FAKE_NVML_SCENARIO names.
 *
 * The file is read again at every call, so a test changes the machine by writing it anew:
 *
 *     device GPU-a 80000000000 1000 300 NVIDIA-H100     total, used, reserved bytes, name
 *     mig GPU-a MIG-b 40000000000 500                   an instance inside a device
 *     process GPU-a self 700                            pid or "self", bytes or "na"
 *     graphics GPU-a 17 20                              a process of the graphics list
 *     curve GPU-a 10 20 30                              used bytes of one call after the other
 *     error nvmlDeviceGetMemoryInfo_v2 13               what a function returns
 *     error_on GPU-a 15                                 what everything about a device returns
 *     hang nvmlDeviceGetMemoryInfo_v2 60000             milliseconds that a function takes
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, MOST = 16 };
typedef unsigned long long Bytes;

typedef struct {
    char uuid[96], name[96];
    Bytes total, used, reserved;
    int parent, error; /* parent: -1 for a whole device */
} Device;
typedef struct {
    int device, graphics;
    unsigned pid;
    Bytes used;
} Process;
typedef struct {
    Device devices[MOST];
    Process processes[MOST];
    int device_count, process_count, error;
} Scenario;

static unsigned curve_calls[MOST];

static int find(const Scenario *scenario, const char *uuid) {
    for (int i = 0; i < scenario->device_count; i++)
        if (!strcmp(scenario->devices[i].uuid, uuid)) return i;
    return -1;
}

static void follow_curve(Scenario *scenario, const char *line, int count) {
    char uuid[96];
    int offset = 0, step = 0;
    if (sscanf(line, "curve %95s%n", uuid, &offset) != 1) return;
    int device = find(scenario, uuid);
    if (device < 0) return;
    unsigned calls = count ? curve_calls[device]++ : curve_calls[device];
    for (Bytes value; sscanf(line += offset, "%llu%n", &value, &offset) == 1; step++)
        if (step == 0 || (unsigned)step <= calls) scenario->devices[device].used = value;
}

static void read_line(Scenario *scenario, const char *line, const char *function) {
    char uuid[96], text[96], bytes[32];
    int code;
    Device device = {.parent = -1};
    if (sscanf(line, "device %95s %llu %llu %llu %95s", device.uuid, &device.total, &device.used,
               &device.reserved, device.name) == 5) {
        scenario->devices[scenario->device_count++] = device;
    } else if (sscanf(line, "mig %95s %95s %llu %llu", uuid, device.uuid, &device.total,
                      &device.used) == 4) {
        device.parent = find(scenario, uuid);
        strcpy(device.name, "instance");
        scenario->devices[scenario->device_count++] = device;
    } else if (sscanf(line, "process %95s %95s %31s", uuid, text, bytes) == 3 ||
               sscanf(line, "graphics %95s %95s %31s", uuid, text, bytes) == 3) {
        Process process = {find(scenario, uuid), line[0] == 'g', 0, ~0ULL};
        process.pid = strcmp(text, "self") ? (unsigned)atoi(text) : (unsigned)getpid();
        if (strcmp(bytes, "na")) process.used = strtoull(bytes, NULL, 10);
        scenario->processes[scenario->process_count++] = process;
    } else if (sscanf(line, "error %95s %d", text, &code) == 2 && !strcmp(text, function)) {
        scenario->error = code;
    } else if (sscanf(line, "error_on %95s %d", uuid, &code) == 2) {
        scenario->devices[find(scenario, uuid)].error = code;
    } else if (sscanf(line, "hang %95s %d", text, &code) == 2 && !strcmp(text, function)) {
        usleep((useconds_t)code * 1000);
    }
    follow_curve(scenario, line, !strncmp(function, "nvmlDeviceGetMemoryInfo", 23));
}

static int open_scenario(Scenario *scenario, const char *function) {
    char line[512];
    memset(scenario, 0, sizeof *scenario);
    const char *path = getenv("FAKE_NVML_SCENARIO");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return NO_DRIVER;
    while (fgets(line, sizeof line, file)) read_line(scenario, line, function);
    fclose(file);
    return scenario->error;
}

/* Handles are places in the list of devices, plus one. */
static int open_device(Scenario *scenario, const char *function, void *handle, Device **device) {
    int error = open_scenario(scenario, function), place = (int)(size_t)handle - 1;
    if (error) return error;
    if (place < 0 || place >= scenario->device_count) return NOT_FOUND;
    *device = &scenario->devices[place];
    return (*device)->error;
}

static int whole(const Scenario *scenario, int wanted) {
    for (int i = 0, seen = 0; i < scenario->device_count; i++)
        if (scenario->devices[i].parent < 0 && seen++ == wanted) return i;
    return -1;
}

int nvmlInitWithFlags(unsigned flags) {
    Scenario scenario;
    (void)flags;
    return open_scenario(&scenario, __func__);
}
int nvmlInit(void) { return nvmlInitWithFlags(0); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int error) { return error == NO_DRIVER ? "Driver Not Loaded" : "Fake error"; }

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    Scenario scenario;
    snprintf(text, length, "580.1");
    return open_scenario(&scenario, __func__);
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    Scenario scenario;
    int error = open_scenario(&scenario, __func__);
    for (*count = 0; whole(&scenario, (int)*count) >= 0;) ++*count;
    return error;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    Scenario scenario;
    int error = open_scenario(&scenario, __func__), place = whole(&scenario, (int)index);
    *handle = (void *)(size_t)(place + 1);
    return error ? error : place < 0 ? NOT_FOUND : scenario.devices[place].error;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    Scenario scenario;
    int error = open_scenario(&scenario, __func__), place = find(&scenario, uuid);
    *handle = (void *)(size_t)(place + 1);
    return error ? error : place < 0 ? NOT_FOUND : SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned length) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    if (!error) snprintf(text, length, "%s", device->uuid);
    return error;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned length) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    if (!error) snprintf(text, length, "%s", device->name);
    return error;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    *current = 0;
    for (int i = 0; i < scenario.device_count; i++)
        *current |= scenario.devices[i].parent == (int)(size_t)handle - 1;
    *pending = *current;
    return error;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    (void)handle;
    *count = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **instance) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    if (error) return error;
    for (unsigned i = 0, seen = 0; i < (unsigned)scenario.device_count; i++)
        if (scenario.devices[i].parent == (int)(size_t)handle - 1 && seen++ == index) {
            *instance = (void *)(size_t)(i + 1);
            return SUCCESS;
        }
    return NOT_FOUND;
}

typedef struct {
    unsigned version;
    Bytes total, reserved, free, used;
} Memory2;
typedef struct {
    Bytes total, free, used;
} Memory1;

int nvmlDeviceGetMemoryInfo_v2(void *handle, Memory2 *memory) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    if (error) return error;
    Bytes free = device->total - device->used - device->reserved;
    *memory = (Memory2){memory->version, device->total, device->reserved, free, device->used};
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory1 *memory) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, __func__, handle, &device);
    if (error) return error;
    Bytes used = device->used + device->reserved;
    *memory = (Memory1){device->total, device->total - used, used};
    return SUCCESS;
}

typedef struct {
    unsigned pid;
    Bytes used;
    unsigned gpu_instance, compute_instance;
} ProcessInfo;

static int list(const char *function, void *handle, unsigned *room, ProcessInfo *out, int graphics) {
    Scenario scenario;
    Device *device;
    unsigned count = 0;
    int error = open_device(&scenario, function, handle, &device);
    if (error) return error;
    for (int i = 0; i < scenario.process_count; i++) {
        Process *process = &scenario.processes[i];
        if (process->device != (int)(size_t)handle - 1 || process->graphics != graphics) continue;
        if (out && count < *room) out[count] = (ProcessInfo){process->pid, process->used, ~0u, ~0u};
        count++;
    }
    int fits = out ? count <= *room : count == 0;
    *room = count;
    return fits ? SUCCESS : TOO_SMALL;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *room, ProcessInfo *out) {
    return list(__func__, handle, room, out, 0);
}
int nvmlDeviceGetComputeRunningProcesses_v2(void *handle, unsigned *room, ProcessInfo *out) {
    return list(__func__, handle, room, out, 0);
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *room, ProcessInfo *out) {
    return list(__func__, handle, room, out, 1);
}

/* Readings: one number a device, the same for all; an instance (MIG) does not offer them. */
static int reading(const char *function, void *handle, unsigned *out, unsigned value) {
    Scenario scenario;
    Device *device;
    int error = open_device(&scenario, function, handle, &device);
    *out = value;
    return error ? error : device->parent < 0 ? SUCCESS : NOT_SUPPORTED;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
    rates[1] = 40;
    return reading(__func__, handle, rates, 90);
}
int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    return reading(__func__, handle, milliwatts, 350000);
}
int nvmlDeviceGetTemperatureV(void *handle, unsigned *temperature) {
    return reading(__func__, handle, temperature + 2, 61);
}
int nvmlDeviceGetClockInfo(void *handle, int clock, unsigned *megahertz) {
    return reading(__func__, handle, megahertz, clock == 2 ? 2619 : 1980);
}
int nvmlDeviceGetPcieThroughput(void *handle, int counter, unsigned *kilobytes) {
    return reading(__func__, handle, kilobytes, counter ? 3000 : 2000);
}
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, Bytes *reasons) {
    unsigned value;
    int error = reading(__func__, handle, &value, 4);
    *reasons = value;
    return error;
}
int nvmlDeviceGetTotalEccErrors(void *handle, int type, int counter, Bytes *errors) {
    unsigned value;
    (void)type, (void)counter;
    int error = reading(__func__, handle, &value, 0);
    *errors = value;
    return error;
}

typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    int type, result;
    Bytes value;
} Field;

int nvmlDeviceGetFieldValues(void *handle, int count, Field *fields) {
    unsigned value;
    for (int i = 0; i < count; i++) {
        int error = reading(__func__, handle, &value, fields[i].field == 138 ? 500 : 700);
        if (error) return error;
        fields[i].type = 3;
        fields[i].result = SUCCESS;
        fields[i].value = value;
    }
    return SUCCESS;
}
