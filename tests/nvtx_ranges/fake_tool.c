/* An NVTX tool that writes a line for each range and sample to the file that FAKE_NVTX_LOG names.
 *
 * NVTX loads it where NVTX_INJECTION64_PATH points. A line is tab separated: start, end, push, pop
 * or sample; the domain; the category's name; the payload; the message, or the counter's name.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLBACKS = 1, CORE2 = 5, REGISTERED = 3, MOST_CATEGORIES = 64 };
enum { START = 2, END = 3, PUSH = 4, POP = 5, NAME_CATEGORY = 8, REGISTER = 10, CREATE = 12 };
enum { COUNTERS = 4, REGISTER_COUNTER = 0, SAMPLE_INT64 = 1, MOST_COUNTERS = 256 };

typedef struct {
    uint16_t version, size;
    uint32_t category;
    int32_t color_type;
    uint32_t color;
    int32_t payload_type, reserved;
    int64_t payload;
    int32_t message_type;
    const char *message;
} Event;
typedef struct {
    size_t size;
    int (*table)(int module, void ***out, unsigned *count);
} Callbacks;
typedef struct {
    size_t size;
    uint64_t schema;
    const char *name;
} Counter;
typedef struct {
    size_t id, count;
    void **functions;
} Segment;
typedef struct {
    uint16_t version, size, module, compatibility;
    size_t count;
    Segment *segments;
} Extension;

static char *categories[MOST_CATEGORIES];
static char *counters[MOST_COUNTERS];

static void note(const char *what, const char *domain, const Event *event, uint64_t range) {
    FILE *log = fopen(getenv("FAKE_NVTX_LOG"), "a");
    if (!log) return;
    const char *category = "";
    if (event && event->category < MOST_CATEGORIES && categories[event->category])
        category = categories[event->category];
    fprintf(log, "%s\t%s\t%s\t%lld\t%s\t%llu\n", what, domain ? domain : "", category,
            event && event->payload_type ? (long long)event->payload : -1,
            event && event->message ? event->message : "", (unsigned long long)range);
    fclose(log);
}

static uint64_t start(const char *domain, const Event *event) {
    static uint64_t next;
    note("start", domain, event, ++next);
    return next;
}
static int end(const char *domain, uint64_t range) {
    note("end", domain, NULL, range);
    return 0;
}
static int push(const char *domain, const Event *event) {
    note("push", domain, event, 0);
    return 0;
}
static int pop(const char *domain) {
    note("pop", domain, NULL, 0);
    return 0;
}
static void name_category(const char *domain, uint32_t category, const char *name) {
    (void)domain;
    if (category < MOST_CATEGORIES) categories[category] = strdup(name);
}
static char *registered(const char *domain, const char *text) {
    (void)domain;
    return strdup(text);
}
static char *create(const char *name) { return strdup(name); }

int InitializeInjectionNvtx2(const void *(*export_table)(uint32_t)) {
    const Callbacks *callbacks = export_table(CALLBACKS);
    void **table;
    unsigned count;
    if (!callbacks || !callbacks->table(CORE2, (void ***)&table, &count)) return 0;
    void *functions[][2] = {{(void *)START, start},       {(void *)END, end},
                            {(void *)PUSH, push},         {(void *)POP, pop},
                            {(void *)NAME_CATEGORY, name_category},
                            {(void *)REGISTER, registered}, {(void *)CREATE, create}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        *(void **)table[(size_t)functions[i][0]] = functions[i][1];
    return 1;
}

static uint64_t register_counter(const char *domain, const Counter *counter) {
    static uint64_t next;
    (void)domain;
    if (next == MOST_COUNTERS) return 0;
    counters[next] = strdup(counter->name);
    return ++next;
}
static void sample(const char *domain, uint64_t counter, int64_t value) {
    const char *name = counter && counter <= MOST_COUNTERS ? counters[counter - 1] : "unknown";
    const Event event = {.payload_type = 1, .payload = value, .message = name};
    note("sample", domain, &event, 0);
}

int InitializeInjectionNvtxExtension(Extension *extension) {
    if (extension->module != COUNTERS) return 1;
    extension->segments[0].functions[REGISTER_COUNTER] = (void *)register_counter;
    extension->segments[0].functions[SAMPLE_INT64] = (void *)sample;
    return 1;
}
