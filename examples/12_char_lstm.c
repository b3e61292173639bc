/* An LSTM reads a text letter by letter until it can write one; a quarter of a minute.
 *     cc -O2 -fopenmp -o build/12_char_lstm examples/12_char_lstm.c -lm
 *     build/12_char_lstm [TEXT [EPOCHS]]         README.md, 30
 * It learns to name the next letter at each of 64 steps. To write, a second net of one step has the
 * same layers, and so takes the same weights; its states are inputs, given back to it letter by
 * letter. A. Karpathy, The Unreasonable Effectiveness of Recurrent Neural Networks, 2015. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LETTERS = 96, STEPS = 64, BATCH = 16, EMBEDDED = 32, HIDDEN = 192, WRITTEN = 600 };

static int failed(cvn_net *net) { return puts(cvn_error(net)), 1; }

/* Letters are 0 for the end of a line, then ASCII from the space on; others are left out. */
static int *read_letters(const char *path, int *count)
{
    FILE *file = fopen(path, "rb");
    int *letters = NULL;
    int room = 0;
    *count = 0;
    for (int c; file && (c = fgetc(file)) != EOF;) {
        if (c != '\n' && (c < 32 || c > 126)) continue;
        if (*count == room) {
            int *larger = (int *)realloc(letters, (size_t)(room = 2 * room + 4096) * sizeof(int));
            if (!larger) break;
            letters = larger;
        }
        letters[(*count)++] = c == '\n' ? 0 : c - 31;
    }
    if (file) fclose(file);
    return letters;
}

static void print_letter(int letter) { putchar(letter ? letter + 31 : '\n'); }

typedef struct writer {
    cvn_net *net;
    cvn_node letters, logits;
    cvn_node h0, c0, h, c;          /* of one step */
} writer;

/* Letters [N, steps] to logits [N, steps, LETTERS]. One step: with the states as inputs. */
static writer make_net(int steps)
{
    const int state[2] = { 1, HIDDEN };
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_node x;
    writer w;
    w.net = cvn_create(NULL);
    w.letters = cvn_input_labels(w.net, &steps, 1);
    d.hidden = HIDDEN;
    if (steps == 1) {
        d.h0 = w.h0 = cvn_input_tensor(w.net, state, 2);
        d.c0 = w.c0 = cvn_input_tensor(w.net, state, 2);
    }
    x = cvn_lstm_ex(w.net, cvn_embedding(w.net, w.letters, LETTERS, EMBEDDED), &d);
    if (steps == 1) {
        cvn_keep(w.net, w.h = cvn_rnn_state(w.net, x, 0));
        cvn_keep(w.net, w.c = cvn_rnn_state(w.net, x, 1));
    }
    w.logits = cvn_dense(w.net, x, LETTERS);
    if (steps == 1) cvn_output(w.net, w.logits);
    else cvn_softmax_loss(w.net, w.logits);
    return w;
}

/* Sample i begins at letter index[i]; what is to be named is the letter behind each. */
typedef struct text { const int *letters; cvn_node input; } text;

static cvn_result fill(void *user, cvn_net *net, const int *index, int n, int training)
{
    static int now[BATCH * STEPS], next[BATCH * STEPS];
    const text *t = (const text *)user;
    cvn_result result;
    (void)training;
    for (int i = 0; i < n * STEPS; i++) {
        const int at = index[i / STEPS] * STEPS + i % STEPS;
        now[i] = t->letters[at];
        next[i] = t->letters[at + 1];
    }
    result = cvn_set_labels(net, t->input, now, n);
    return result == CVN_OK ? cvn_set_labels(net, cvn_find(net, "labels2"), next, n) : result;
}

/* A letter, drawn with the probabilities softmax(logits/temperature). */
static int draw_letter(const float *logits, double temperature)
{
    double p[LETTERS], sum = 0, point;
    for (int i = 0; i < LETTERS; i++) sum += p[i] = exp((double)logits[i] / temperature);
    point = sum * rand() / (RAND_MAX + 1.0);
    for (int i = 0; i < LETTERS - 1; i++)
        if ((point -= p[i]) < 0) return i;
    return LETTERS - 1;
}

static cvn_result write_text(writer *w, int letter, int count)
{
    static float h[HIDDEN], c[HIDDEN];
    for (int i = 0; i < count; i++) {
        cvn_result result;
        cvn_set_labels(w->net, w->letters, &letter, 1);
        cvn_set_input(w->net, w->h0, h, 1);
        cvn_set_input(w->net, w->c0, c, 1);
        if ((result = cvn_forward_eval(w->net)) != CVN_OK) return result;
        for (int k = 0; k < HIDDEN; k++) {
            h[k] = cvn_value(w->net, w->h)[k];
            c[k] = cvn_value(w->net, w->c)[k];
        }
        print_letter(letter = draw_letter(cvn_value(w->net, w->logits), 0.7));
    }
    return CVN_OK;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "README.md";
    const cvn_optimizer adam = cvn_adam(0.004f);
    cvn_fit_options options = cvn_fit_defaults();
    cvn_data data = { 0 };
    text t;
    int count;
    int *letters = read_letters(path, &count);
    writer reader = make_net(STEPS), one = make_net(1);
    if (count <= STEPS) return printf("%s: more than %d letters are needed\n", path, STEPS), 1;
    if (cvn_build(reader.net, BATCH) != CVN_OK) return failed(reader.net);
    t.letters = letters;
    t.input = reader.letters;
    data.count = (count - 1) / STEPS;
    data.fill = fill;
    data.user = &t;
    options.epochs = argc > 2 ? atoi(argv[2]) : 30;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    options.callback = cvn_print_progress;
    if (cvn_fit(reader.net, &data, NULL, &options) < 0) return failed(reader.net);
    if (cvn_save(reader.net, "build/letters.safetensors") != CVN_OK) return failed(reader.net);

    if (cvn_build_infer(one.net, 1) != CVN_OK) return failed(one.net);
    if (cvn_load(one.net, "build/letters.safetensors") != CVN_OK) return failed(one.net);
    puts("\nIt writes:");
    if (write_text(&one, 0, WRITTEN) != CVN_OK) return failed(one.net);
    putchar('\n');
    cvn_destroy(reader.net);
    cvn_destroy(one.net);
    free(letters);
    return 0;
}
