// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Measures what this machine can do at most, for 1 to 64 threads, each on its
// own core: products of f32, bf16 and int8 in registers, reading from L2, from
// L3 and from memory. A request is a line "KIND THREADS MILLISECONDS" on
// standard input; the answer is a line with 10^9 operations (a multiply-add is
// two) or 10^9 bytes per second, 0 where the CPU has no such instruction.
// "describe" answers with JSON: cores, cache sizes, instructions.
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 64, PASSES = 5 };

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

//===-------------------------- The CPU
//---------------------------------------------===//

// The CPUs that this process may use, the first of each core before their
// siblings.
static int cpus[CPU_SETSIZE], numCpus;
static long l2Bytes, l3Bytes;
static int hasAvx2, hasAvx512, hasBf16, hasAmx, hasVnni512, hasVnniVex;

// Reads a file of sysfs, "512K" or "0-1", as a number; -1 if it is not there.
static long readNumber(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file)
    return -1;
  long value = -1;
  char unit = 0;
  if (fscanf(file, "%ld%c", &value, &unit) == 2 && value > 0)
    value *= unit == 'K' ? 1024 : unit == 'M' ? 1024 * 1024 : 1;
  fclose(file);
  return value;
}

static void findCpus(void) {
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  for (int wantFirst = 1; wantFirst >= 0; --wantFirst)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &allowed))
        continue;
      char path[128];
      snprintf(path, sizeof path,
               "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
               cpu);
      long first = readNumber(path);
      int isFirst = first < 0 || first == cpu;
      if (isFirst == wantFirst)
        cpus[numCpus++] = cpu;
    }
}

static void findCaches(void) {
  for (int index = 0; index < 8; ++index) {
    char path[128];
    const char *folder = "/sys/devices/system/cpu/cpu0/cache";
    snprintf(path, sizeof path, "%s/index%d/level", folder, index);
    long level = readNumber(path);
    snprintf(path, sizeof path, "%s/index%d/size", folder, index);
    long size = readNumber(path);
    if (level == 2)
      l2Bytes = size;
    if (level == 3)
      l3Bytes = size;
  }
  if (l2Bytes <= 0)
    l2Bytes = 512 * 1024;
  if (l3Bytes <= 0)
    l3Bytes = 4 * l2Bytes;
}

static void findInstructions(void) {
  unsigned a, b, c, d;
  hasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  hasAvx512 = __builtin_cpu_supports("avx512f") != 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    hasVnni512 = hasAvx512 && (c >> 11 & 1);
    // AMX-BF16 and AMX-TILE, for which a process needs permission.
    hasAmx = (d >> 22 & 1) && (d >> 24 & 1) &&
             syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  }
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
    hasVnniVex = hasAvx2 && (a >> 4 & 1);
    hasBf16 = hasAvx512 && (a >> 5 & 1);
  }
}

//===-------------------------- Products in registers
//-------------------------------===//
// Twelve sums or more hide the latency; volatile assembly is neither moved nor
// removed.

#define TIMES12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define TIMES24(X)                                                             \
  TIMES12(X)                                                                   \
  X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#define REGISTER(i) v##i = a,

// A function that runs STEP(i) for each of the sums v0, v1, ... `rounds` times
// and returns the operations, PER each.
#define KERNEL(NAME, TARGET, TYPE, CLEAR, TIMES, COUNT, STEP, PER)             \
  __attribute__((target(TARGET), noinline)) static double NAME(long rounds) {  \
    TYPE a = CLEAR(), b = CLEAR(), TIMES(REGISTER) t = CLEAR();                \
    for (long round = 0; round < rounds; ++round) {                            \
      TIMES(STEP)                                                              \
    }                                                                          \
    (void)b, (void)t;                                                          \
    return (double)rounds * (COUNT) * (PER);                                   \
  }

#define FMA(i)                                                                 \
  __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(v##i) : "v"(a), "v"(b));
#define DOT_BF16(i)                                                            \
  __asm__ volatile("vdpbf16ps %1, %2, %0" : "+v"(v##i) : "v"(a), "v"(b));
#define DOT_U8(i)                                                              \
  __asm__ volatile("vpdpbusd %1, %2, %0" : "+v"(v##i) : "v"(a), "v"(b));
#define DOT_U8_VEX(i)                                                          \
  __asm__ volatile("%{vex%} vpdpbusd %1, %2, %0" : "+x"(v##i) : "x"(a), "x"(b));
#define MADD_U8(i)                                                             \
  __asm__ volatile(                                                            \
      "vpmaddubsw %2, %3, %1\n\tvpmaddwd %2, %1, %1\n\tvpaddd %1, %0, %0"      \
      : "+x"(v##i), "=&x"(t)                                                   \
      : "x"(a), "x"(b));
#define MADD_I16(i)                                                            \
  __asm__ volatile("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0"                  \
                   : "+x"(v##i), "=&x"(t)                                      \
                   : "x"(a), "x"(b));
#define SSE_FMA(i)                                                             \
  __asm__ volatile("mulps %2, %1\n\taddps %1, %0"                              \
                   : "+x"(v##i), "+x"(t)                                       \
                   : "x"(a));

KERNEL(f32Sse, "sse2", __m128, _mm_setzero_ps, TIMES12, 12, SSE_FMA, 8)
KERNEL(f32Avx2, "avx2,fma", __m256, _mm256_setzero_ps, TIMES12, 12, FMA, 16)
KERNEL(f32Avx512, "avx512f", __m512, _mm512_setzero_ps, TIMES24, 24, FMA, 32)
KERNEL(bf16Avx512, "avx512f", __m512, _mm512_setzero_ps, TIMES24, 24, DOT_BF16,
       64)
KERNEL(int8Avx512, "avx512f", __m512i, _mm512_setzero_si512, TIMES24, 24,
       DOT_U8, 128)
KERNEL(int8Vex, "avx2", __m256i, _mm256_setzero_si256, TIMES12, 12, DOT_U8_VEX,
       64)
KERNEL(int8Avx2, "avx2", __m256i, _mm256_setzero_si256, TIMES12, 12, MADD_U8,
       64)
KERNEL(int16Avx2, "avx2", __m256i, _mm256_setzero_si256, TIMES12, 12, MADD_I16,
       32)

// Four tile registers of sums, each of 16 x 16, to which an instruction adds
// the products of 32 k.
static double bf16Amx(long rounds) {
  // Palette 1; bytes of a row and rows of each register.
  static const struct {
    uint8_t palette, start, zeros[14];
    uint16_t rowBytes[16];
    uint8_t rows[16];
  } configuration = {.palette = 1,
                     .rowBytes = {64, 64, 64, 64, 64, 64, 64, 64},
                     .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
  __asm__ volatile("ldtilecfg %0" : : "m"(configuration));
  for (long round = 0; round < rounds; ++round)
    __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\t"
                     "tdpbf16ps %tmm6, %tmm5, %tmm1\n\t"
                     "tdpbf16ps %tmm7, %tmm4, %tmm2\n\t"
                     "tdpbf16ps %tmm7, %tmm5, %tmm3");
  __asm__ volatile("tilerelease");
  return (double)rounds * 4 * (2.0 * 16 * 16 * 32);
}

//===-------------------------- Reading
//---------------------------------------------===//

#define LOAD256(i)                                                             \
  v##i = _mm256_xor_si256(v##i,                                                \
                          _mm256_load_si256((const __m256i *)(p + 32 * (i))));
#define LOAD512(i)                                                             \
  v##i =                                                                       \
      _mm512_xor_si512(v##i, _mm512_load_si512((const void *)(p + 64 * (i))));
#define KEEP256(i) __asm__ volatile("" ::"x"(v##i));
#define KEEP512(i) __asm__ volatile("" ::"v"(v##i));
#define TIMES8(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

// Reads `bytes`, a multiple of 512. AHEAD: bytes ahead to ask for, 0 for none.
#define READER(NAME, TARGET, TYPE, CLEAR, LOAD, KEEP, STEP, AHEAD)             \
  __attribute__((target(TARGET), noinline)) static void NAME(const char *p,    \
                                                             size_t bytes) {   \
    TYPE a = CLEAR(), TIMES8(REGISTER) t = a;                                  \
    for (const char *end = p + bytes; p < end; p += (STEP)) {                  \
      if (AHEAD)                                                               \
        for (int line = 0; line < (STEP); line += 64)                          \
          _mm_prefetch(p + (AHEAD) + line, _MM_HINT_T0);                       \
      TIMES8(LOAD)                                                             \
    }                                                                          \
    (void)t;                                                                   \
    TIMES8(KEEP)                                                               \
  }

READER(read256, "avx2", __m256i, _mm256_setzero_si256, LOAD256, KEEP256, 256, 0)
READER(readAhead256, "avx2", __m256i, _mm256_setzero_si256, LOAD256, KEEP256,
       256, 1024)
READER(read512, "avx512f", __m512i, _mm512_setzero_si512, LOAD512, KEEP512, 512,
       0)
READER(readAhead512, "avx512f", __m512i, _mm512_setzero_si512, LOAD512, KEEP512,
       512, 2048)

__attribute__((noinline)) static void readPortable(const char *p,
                                                   size_t bytes) {
  __m128i sum = _mm_setzero_si128();
  for (const char *end = p + bytes; p < end; p += 16)
    sum = _mm_xor_si128(sum, _mm_load_si128((const __m128i *)p));
  __asm__ volatile("" ::"x"(sum));
}

//===-------------------------- Threads
//---------------------------------------------===//

typedef double (*Compute)(long rounds);
typedef void (*Read)(const char *data, size_t bytes);

typedef struct {
  int cpu;
  double time; // seconds that the thread is to take
  Compute compute;
  Read read;
  const char *data;
  size_t bytes;
  pthread_barrier_t *barrier;
  double rates[PASSES];
} Job;

static void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Operations or bytes of `rounds` rounds.
static double doRounds(const Job *job, long rounds) {
  if (job->compute)
    return job->compute(rounds);
  for (long round = 0; round < rounds; ++round)
    job->read(job->data, job->bytes);
  return (double)rounds * (double)job->bytes;
}

static void *work(void *argument) {
  Job *job = argument;
  pin(job->cpu);
  // Enough rounds for one pass; also warms up.
  long rounds = 1;
  for (;;) {
    double start = seconds();
    doRounds(job, rounds);
    double taken = seconds() - start;
    double wanted = job->time / PASSES;
    if (taken >= wanted / 4) {
      rounds = (long)((double)rounds * wanted / taken) + 1;
      break;
    }
    rounds *= 2;
  }
  for (int pass = 0; pass < PASSES; ++pass) {
    pthread_barrier_wait(job->barrier);
    double start = seconds();
    double done = doRounds(job, rounds);
    job->rates[pass] = done / (seconds() - start);
  }
  return NULL;
}

static int compareDoubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// The median over passes of the sum of the threads' rates.
static double runJobs(Job *jobs, int threads) {
  pthread_t handles[MAX_THREADS];
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, (unsigned)threads);
  for (int i = 0; i < threads; ++i) {
    jobs[i].cpu = cpus[i % numCpus];
    jobs[i].barrier = &barrier;
    if (pthread_create(&handles[i], NULL, work, &jobs[i])) {
      fprintf(stderr, "limits: cannot start a thread\n");
      exit(1);
    }
  }
  double sums[PASSES] = {0};
  for (int i = 0; i < threads; ++i) {
    pthread_join(handles[i], NULL);
    for (int pass = 0; pass < PASSES; ++pass)
      sums[pass] += jobs[i].rates[pass];
  }
  pthread_barrier_destroy(&barrier);
  qsort(sums, PASSES, sizeof *sums, compareDoubles);
  return sums[PASSES / 2];
}

static double computeRate(Compute compute, int threads, double time) {
  Job jobs[MAX_THREADS];
  for (int i = 0; i < threads; ++i)
    jobs[i] = (Job){.time = time, .compute = compute};
  return 1e-9 * runJobs(jobs, threads);
}

static double larger(double a, double b) { return a > b ? a : b; }

//===-------------------------- Kinds
//-----------------------------------------------===//

static double f32Rate(int threads, double time) {
  if (hasAvx512)
    return larger(computeRate(f32Avx512, threads, time / 2),
                  computeRate(f32Avx2, threads, time / 2));
  return computeRate(hasAvx2 ? f32Avx2 : f32Sse, threads, time);
}

static double bf16Rate(int threads, double time) {
  if (hasAmx)
    return computeRate(bf16Amx, threads, time);
  return hasBf16 ? computeRate(bf16Avx512, threads, time) : 0;
}

static double int8Rate(int threads, double time) {
  if (hasVnni512)
    return computeRate(int8Avx512, threads, time);
  if (hasVnniVex)
    return computeRate(int8Vex, threads, time);
  if (hasAvx2)
    return larger(computeRate(int8Avx2, threads, time / 2),
                  computeRate(int16Avx2, threads, time / 2));
  return 0;
}

// One array for all requests; its pages are touched by the first one.
static char *arrayOf(size_t bytes) {
  static char *array;
  static size_t allocated;
  if (bytes > allocated) {
    if (array)
      munmap(array, allocated);
    array = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (array == MAP_FAILED) {
      fprintf(stderr, "limits: cannot allocate %zu bytes\n", bytes);
      exit(1);
    }
    madvise(array, bytes, MADV_HUGEPAGE);
    memset(array, 1, bytes);
    allocated = bytes;
  }
  return array;
}

// Reading where each thread has its own part of arrays that take up half of the
// caches of a level, or four times the last level's.
static double readRate(int level, int threads, double time) {
  size_t each = level == 2   ? (size_t)l2Bytes / 2
                : level == 3 ? (size_t)l3Bytes / 2 / (size_t)threads
                             : 4 * (size_t)l3Bytes / (size_t)threads;
  each = each / 4096 * 4096;
  char *data = arrayOf(each * (size_t)threads);
  Read plain = hasAvx512 ? read512 : hasAvx2 ? read256 : readPortable;
  Read ahead = hasAvx512 ? readAhead512 : hasAvx2 ? readAhead256 : readPortable;
  double best = 0;
  for (int variant = 0; variant < 2; ++variant) {
    Job jobs[MAX_THREADS];
    for (int i = 0; i < threads; ++i)
      jobs[i] = (Job){.time = time / 2,
                      .read = variant ? ahead : plain,
                      .data = data + (size_t)i * each,
                      .bytes = each};
    best = larger(best, runJobs(jobs, threads));
  }
  return 1e-9 * best;
}

static double rate(const char *kind, int threads, double time) {
  if (!strcmp(kind, "f32"))
    return f32Rate(threads, time);
  if (!strcmp(kind, "bf16"))
    return bf16Rate(threads, time);
  if (!strcmp(kind, "int8"))
    return int8Rate(threads, time);
  if (!strcmp(kind, "L2"))
    return readRate(2, threads, time);
  if (!strcmp(kind, "L3"))
    return readRate(3, threads, time);
  if (!strcmp(kind, "memory"))
    return readRate(4, threads, time);
  return -1;
}

static void describe(void) {
  printf("{\"cpus\": %d, \"l2\": %ld, \"l3\": %ld, \"f32\": \"%s\", \"bf16\": "
         "\"%s\", "
         "\"int8\": \"%s\"}\n",
         numCpus, l2Bytes, l3Bytes,
         hasAvx512 ? "AVX-512 FMA"
         : hasAvx2 ? "AVX2 FMA"
                   : "SSE",
         hasAmx    ? "AMX-BF16 tdpbf16ps"
         : hasBf16 ? "AVX512-BF16 vdpbf16ps"
                   : "none: as f32",
         hasVnni512   ? "AVX512-VNNI vpdpbusd"
         : hasVnniVex ? "AVX-VNNI vpdpbusd"
         : hasAvx2    ? "AVX2 vpmaddubsw or vpmaddwd"
                      : "none: as f32");
}

int main(void) {
  findCpus();
  findCaches();
  findInstructions();
  char line[128], kind[16];
  while (fgets(line, sizeof line, stdin)) {
    int threads = 0;
    double milliseconds = 0;
    if (!strcmp(line, "describe\n")) {
      describe();
    } else if (sscanf(line, "%15s %d %lf", kind, &threads, &milliseconds) ==
                   3 &&
               threads >= 1 && threads <= MAX_THREADS && milliseconds > 0) {
      printf("%.3f\n", rate(kind, threads, 1e-3 * milliseconds));
    } else {
      fprintf(stderr, "limits: cannot understand: %s", line);
      return 1;
    }
    fflush(stdout);
  }
  return 0;
}
