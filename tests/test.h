/* test.h - the whole of the test framework: checks, cases, one line a test, one line of totals.
 *
 *     static void sums(void) { CHECK(1 + 1 == 2); CHECK_NEAR(0.1 + 0.2, 0.3, 1e-12); }
 *     int main(void) { RUN(sums); return test_done(); }
 *
 * RUN calls a function void f(void), counts it as one test and prints one line with the number of
 * its checks. A function that goes through many cases opens each with test_case("..."): then every
 * case counts as one test, and what fails is printed with the case's text. A failed check is
 * printed and the function goes on. C99 and C++11. */
#ifndef CONVNET_TEST_H
#define CONVNET_TEST_H

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) || defined(__clang__)
    #define TEST_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
    #define TEST_PRINTF(text, first)
#endif

#define TEST_MAX_REPORTS 20             /* failed checks that are printed of one RUN; the rest is
                                         * only counted */

typedef struct test_totals {
    int passed, failed, skipped;        /* tests of this program */
    int cases, failed_cases;            /* of the running function */
    int checks, failures;               /* of the running function */
    int case_failures;                  /* failed checks of the open case */
    int skip;                           /* the running function was left with SKIP */
    char text[256];                     /* of the open case; "" for none */
} test_totals;

static test_totals test_total;

/* Counts a check; returns whether it holds. The message tells more than the condition, or is
 * NULL. */
TEST_PRINTF(5, 6)
static inline int test_check(int ok, const char *file, int line, const char *condition,
                             const char *message, ...)
{
    va_list args;
    test_total.checks++;
    if (ok) return 1;
    test_total.case_failures++;
    if (test_total.failures++ >= TEST_MAX_REPORTS) return 0;
    printf("    FAILED %s:%d: %s", file, line, condition);
    if (test_total.text[0]) printf("\n           in: %s", test_total.text);
    if (message) {
        va_start(args, message);
        printf("\n           ");
        vprintf(message, args);
        va_end(args);
    }
    printf("\n");
    return 0;
}

static inline int test_near(double a, double b, double tolerance, const char *file, int line,
                            const char *text)
{
    return test_check(fabs(a - b) <= tolerance, file, line, text,
                      "%.9g and %.9g differ by %.3g, allowed %.3g", a, b, fabs(a - b), tolerance);
}

static inline void test_close_case(void)
{
    if (test_total.case_failures) test_total.failed_cases++;
    test_total.case_failures = 0;
}

/* Opens a case of the running function and closes the one before; the text is printed when
 * something in it fails. */
TEST_PRINTF(1, 2)
static inline void test_case(const char *format, ...)
{
    va_list args;
    if (test_total.cases) test_close_case();
    test_total.cases++;
    va_start(args, format);
    vsnprintf(test_total.text, sizeof test_total.text, format, args);
    va_end(args);
}

static inline void test_run(const char *name, void (*function)(void))
{
    test_totals *const t = &test_total;
    int tests;
    t->cases = t->failed_cases = t->checks = t->failures = t->case_failures = t->skip = 0;
    t->text[0] = 0;
    function();
    test_close_case();
    if (t->skip && !t->failures) {
        t->skipped++;
        return;
    }
    tests = t->cases > 0 ? t->cases : 1;
    if (t->failed_cases > tests) t->failed_cases = tests;
    t->failed += t->failed_cases;
    t->passed += tests - t->failed_cases;
    printf("  %-38s ", name);
    if (t->cases) printf("%4d cases ", t->cases);
    else printf("%11s", "");
    printf("%6d checks   ", t->checks);
    if (t->failures) printf("%d FAILED\n", t->failures);
    else printf("ok\n");
    fflush(stdout);
}

static inline void test_skip(const char *reason)
{
    test_total.skip = 1;
    printf("  skipped: %s\n", reason);
}

/* Prints the totals and returns the exit status of the program. */
static inline int test_done(void)
{
    if (test_total.skipped) printf("%d skipped\n", test_total.skipped);
    printf("%d passed, %d failed\n", test_total.passed, test_total.failed);
    return test_total.failed ? 1 : 0;
}

/* An allocator whose memory runs out: for cvn_desc.allocator, with a counting as user. */
typedef struct counting {
    int left;                           /* allocations until they fail; -1: never */
    int live;                           /* blocks not given back */
} counting;

static inline void *count_alloc(void *user, size_t size)
{
    counting *c = (counting *)user;
    if (c->left == 0) return NULL;
    if (c->left > 0) c->left--;
    c->live++;
    return malloc(size);
}

static inline void count_free(void *user, void *pointer)
{
    ((counting *)user)->live -= pointer != NULL;
    free(pointer);
}

#define CHECK(condition) test_check(!!(condition), __FILE__, __LINE__, #condition, NULL)
#define CHECKF(condition, ...)                                                                     \
    test_check(!!(condition), __FILE__, __LINE__, #condition, __VA_ARGS__)
#define CHECK_NEAR(a, b, tolerance) \
    test_near((double)(a), (double)(b), (double)(tolerance), __FILE__, __LINE__, #a " near " #b)
#define RUN(function) test_run(#function, function)

/* Leaves the running test function: what it needs is missing here. Counts neither as passed nor as
 * failed. */
#define SKIP(reason) do { test_skip(reason); return; } while (0)

#endif
