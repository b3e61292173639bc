/* test_optim.c - optimizers against PyTorch's trajectories, their state in checkpoints, their
 * errors. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "golden/training.h"

enum { PARAMETERS = 26 };

static const char *const checkpoint = "build/test_optim.safetensors";

/* 3 -> 4 tanh -> 2 on 8 samples, as make_training.py has it. */
static cvn_net *regression(const cvn_optimizer *optimizer, int threads)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node x, y, target;
    desc.threads = threads;
    net = cvn_create(&desc);
    x = cvn_input_vector(net, 3);
    y = cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 4)), 2);
    target = cvn_target(net, y);
    cvn_mse_loss(net, y, target);
    CHECKF(cvn_set_optimizer(net, optimizer) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, training_x, 8) == CVN_OK);
    CHECK(cvn_set_input(net, target, training_target, 8) == CVN_OK);
    return net;
}

static const char *const names[4] = { "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias" };

/* Sets (from) or reads (to) all parameters. */
static void copy_parameters(cvn_net *net, const float *from, float *to)
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        const cvn_param p = cvn_param_find(net, names[i]);
        if (!CHECKF(p.value != NULL && at + p.count <= PARAMETERS, "%s", names[i])) return;
        if (from) memcpy(p.value, from + at, p.count * sizeof(float));
        else memcpy(to + at, p.value, p.count * sizeof(float));
        at += p.count;
    }
    cvn_touch(net);
}

static void steps(cvn_net *net, int count)
{
    for (int i = 0; i < count; i++)
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
}

/* Relative to the largest parameter. */
static void compare(const float *got, const float *expected, double tolerance)
{
    double size = 0;
    for (int i = 0; i < PARAMETERS; i++) size = fmax(size, fabs((double)expected[i]));
    for (int i = 0; i < PARAMETERS; i++)
        CHECK_NEAR((double)got[i], (double)expected[i], tolerance * size);
}

static void follow(const char *name, cvn_optimizer o, const float *expected)
{
    float got[PARAMETERS], again[PARAMETERS];
    cvn_net *net = regression(&o, 1);
    cvn_net *twin = regression(&o, 3);
    test_case("%s", name);
    copy_parameters(net, training_start, NULL);
    steps(net, 10);
    copy_parameters(net, NULL, got);
    compare(got, expected, 1e-5);
    /* the other net goes on from the checkpoint, with the same bits */
    CHECKF(cvn_save_checkpoint(net, checkpoint) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_load_checkpoint(twin, checkpoint) == CVN_OK, "%s", cvn_error(twin));
    steps(net, 90);
    steps(twin, 90);
    copy_parameters(net, NULL, got);
    copy_parameters(twin, NULL, again);
    compare(got, expected + PARAMETERS, 1e-4);
    CHECK(memcmp(got, again, sizeof got) == 0);
    remove(checkpoint);
    cvn_destroy(net);
    cvn_destroy(twin);
}

/* The classic ones, with and without decay. */
static void basics(void)
{
    cvn_optimizer o = cvn_sgd(0.1f, 0);
    follow("SGD", o, training_sgd);
    o.weight_decay = 0.05f;
    follow("SGD with decay", o, training_sgd_decay);
    o = cvn_sgd(0.05f, 0.9f);
    follow("momentum", o, training_momentum);
    o.weight_decay = 0.02f;
    follow("momentum with decay", o, training_momentum_decay);
    o = cvn_sgd(0.1f, 0.9f);
    o.dampening = 0.9f;
    follow("momentum as a running mean", o, training_mean_momentum);
    o = cvn_nesterov(0.05f, 0.9f);
    follow("Nesterov", o, training_nesterov);
    o.weight_decay = 0.02f;
    follow("Nesterov with decay", o, training_nesterov_decay);
    o = cvn_adam(0.02f);
    follow("Adam", o, training_adam);
    o.beta1 = 0.8f;
    o.beta2 = 0.95f;
    o.eps = 1e-3f;
    o.weight_decay = 0.05f;
    follow("Adam with decay", o, training_adam_decay);
    follow("AdamW", cvn_adamw(0.02f, 0.1f), training_adamw);
}

static void trajectories(void)
{
    cvn_optimizer o = cvn_sgd(0.1f, 0.9f);
    o.dampening = 0.9f;
    o.weight_decay = 0.01f;
    follow("SGD with dampening", o, training_sgd_dampening);
    o = cvn_adagrad(0.05f);
    follow("AdaGrad", o, training_adagrad);
    o.weight_decay = 0.05f;
    follow("AdaGrad with decay", o, training_adagrad_decay);
    follow("AdaDelta", cvn_adadelta(0), training_adadelta);
    o = cvn_adadelta(0.5f);
    o.beta2 = 0.8f;
    o.eps = 1e-5f;
    o.weight_decay = 0.05f;
    follow("AdaDelta with decay", o, training_adadelta_decay);
    o = cvn_adamax(0.01f);
    follow("AdaMax", o, training_adamax);
    o.beta1 = 0.8f;
    o.beta2 = 0.95f;
    o.weight_decay = 0.05f;
    follow("AdaMax with decay", o, training_adamax_decay);
    o = cvn_nadam(0.01f);
    follow("NAdam", o, training_nadam);
    o.weight_decay = 0.05f;
    o.momentum_decay = 0.02f;
    follow("NAdam with decay", o, training_nadam_decay);
    follow("LAMB", cvn_lamb(0.01f, 0), training_lamb);
    follow("LAMB with decay", cvn_lamb(0.02f, 0.1f), training_lamb_decay);
    follow("Lion", cvn_lion(0.002f, 0), training_lion);
    follow("Lion with decay", cvn_lion(0.002f, 0.1f), training_lion_decay);
}

static void variants(void)
{
    cvn_optimizer o = cvn_rmsprop(0.002f);
    follow("RMSProp", o, training_rmsprop);
    o = cvn_rmsprop(0.001f);
    o.momentum = 0.8f;
    o.weight_decay = 0.05f;
    follow("RMSProp with momentum", o, training_rmsprop_momentum);
    o = cvn_rmsprop(0.001f);
    o.eps = 1e-2f;
    o.centered = 1;
    o.momentum = 0.5f;
    follow("RMSProp, centred, with momentum", o, training_rmsprop_both);
    o.momentum = 0;
    o.beta2 = 0.9f;
    follow("RMSProp, centred", o, training_rmsprop_centered);
    o.beta2 = 0.99f;
    o.weight_decay = 0.05f;
    follow("RMSProp, centred, with decay", o, training_rmsprop_decay);
    o = cvn_adam(0.02f);
    o.amsgrad = 1;
    o.beta2 = 0.9f;
    follow("AMSGrad", o, training_amsgrad);
    o.weight_decay = 0.05f;
    follow("AMSGrad with decay", o, training_amsgrad_decay);
    o = cvn_adamw(0.02f, 0.1f);
    o.amsgrad = 1;
    o.beta2 = 0.9f;
    follow("AMSGrad of AdamW", o, training_amsgrad_adamw);
}

/* What 0 stands for. */
static void defaults(void)
{
    CHECK(cvn_adam(0).lr == 1e-3f && cvn_sgd(0, 0).lr == 1e-2f && cvn_adagrad(0).lr == 1e-2f);
    CHECK(cvn_adadelta(0).lr == 1 && cvn_adadelta(0).beta2 == 0.9f);
    CHECK(cvn_rmsprop(0).lr == 1e-2f && cvn_rmsprop(0).beta2 == 0.99f);
    CHECK(cvn_adamax(0).lr == 2e-3f && cvn_nadam(0).lr == 2e-3f);
    CHECK(cvn_lamb(0, 0).lr == 1e-3f && cvn_lamb(0, 0).eps == 1e-6f);
    CHECK(cvn_lion(0, 0).lr == 1e-4f && cvn_lion(0, 0).beta2 == 0.99f);
    CHECK(cvn_adagrad(0).eps == 1e-10f && cvn_lamb(0, 0.5f).weight_decay == 0.5f);
}

/* A refused optimizer leaves the old one; one with more state lays the net out anew. */
static void changes(void)
{
    cvn_optimizer o = cvn_sgd(0.1f, 0);
    cvn_net *net = regression(&o, 1);
    o = cvn_nesterov(0.1f, 0.9f);
    o.dampening = 0.5f;
    CHECK(cvn_set_optimizer(net, &o) == CVN_ERROR_ARGUMENT);
    o = cvn_sgd(0.1f, 0.9f);
    o.dampening = 1.5f;
    CHECK(cvn_set_optimizer(net, &o) == CVN_ERROR_ARGUMENT);
    o = cvn_lion(0, 0);
    o.kind = (cvn_optimizer_kind)(CVN_LION + 1);
    CHECK(cvn_set_optimizer(net, &o) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_get_lr(net) == 0.1f);
    o = cvn_adam(0.01f);
    o.amsgrad = 1;
    CHECKF(cvn_set_optimizer(net, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(net->plan.slots == 3);
    cvn_destroy(net);
}

/* A checkpoint of the same kind with another number of arrays is refused. */
static void other_state(void)
{
    cvn_optimizer o = cvn_rmsprop(0.01f);
    cvn_net *net = regression(&o, 1);
    cvn_net *other;
    CHECKF(cvn_save_checkpoint(net, checkpoint) == CVN_OK, "%s", cvn_error(net));
    o.momentum = 0.9f;
    other = regression(&o, 1);
    CHECK(cvn_load_checkpoint(other, checkpoint) == CVN_ERROR_FORMAT);
    remove(checkpoint);
    cvn_destroy(net);
    cvn_destroy(other);
}

/* The rates of count batches, one an epoch, of a schedule from 0.5. */
static void rates(const char *name, const cvn_schedule *s, int count, const float *expected)
{
    test_case("%s", name);
    for (int i = 0; i < count; i++)
        CHECK_NEAR((double)cvn_schedule_lr(s, 0.5f, i, 1, count), (double)expected[i], 1e-6);
}

static void schedules(void)
{
    cvn_schedule s;
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_MULTI_STEP;
    s.gamma = 0.3f;
    s.milestones[0] = 2;
    s.milestones[1] = 5;
    s.milestones[2] = 9;
    rates("multi-step", &s, 12, training_schedule_multi_step);
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_POLYNOMIAL;
    s.power = 2;
    rates("polynomial", &s, 30, training_schedule_polynomial);
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_RESTARTS;
    rates("restarts", &s, 30, training_schedule_restarts_equal);
    s.growth = 2;
    s.min_lr = 0.05f;
    rates("restarts, growing", &s, 80, training_schedule_restarts);
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_CYCLIC;
    s.min_lr = 0.05f;
    rates("cyclic", &s, 50, training_schedule_cyclic);
}

/* lr * min((s + 1)/w, sqrt(w/(s + 1))), A. Vaswani et al., section 5.3 */
static void inverse(void)
{
    cvn_schedule s;
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_INVERSE;
    s.warmup = 2;
    for (int i = 0; i < 60; i++)
        CHECK_NEAR((double)cvn_schedule_lr(&s, 0.5f, i, 4, 15),
                   0.5 * fmin((i + 1) / 8.0, sqrt(8.0 / (i + 1))), 1e-7);
    s.warmup = 0;
    CHECK(cvn_schedule_lr(&s, 0.5f, 3, 4, 15) == 0.25f);
}

static void plateau(void)
{
    cvni_fit_state f;
    cvn_schedule s;
    memset(&f, 0, sizeof f);
    memset(&s, 0, sizeof s);
    s.kind = CVN_SCHEDULE_PLATEAU;
    s.gamma = 0.5f;
    s.wait = 2;
    for (int i = 0; i < 16; i++) {
        CHECK(cvni_plateau_lr(&s, &f, 0.5f) == training_schedule_plateau[i]);
        cvni_plateau(&s, &f, (double)training_plateau_losses[i]);
        f.epoch++;
    }
    s.min_lr = 0.4f;
    CHECK(f.plateau_cuts > 0 && cvni_plateau_lr(&s, &f, 0.5f) == 0.4f);
}

/* Stops cvn_fit in its fifth epoch. */
static int stop_early(void *user, const cvn_progress *p)
{
    (void)user;
    return p->event == CVN_EVENT_BATCH && p->epoch == 5 && p->batch == 1;
}

static cvn_net *classifier(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_softmax_loss(net, cvn_dense(net, cvn_input_vector(net, 3), 2));
    CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net));
    return net;
}

/* A rate that is much too low: the loss does not fall, the rate does; a run that was stopped and
 * resumed from its checkpoint ends with the same bits. */
static void plateau_resumes(void)
{
    const int labels[8] = { 0, 1, 1, 0, 1, 0, 0, 1 };
    const cvn_optimizer sgd = cvn_sgd(1e-5f, 0);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = classifier();
    cvn_net *other = classifier();
    cvn_data data;
    memset(&data, 0, sizeof data);
    data.count = 8;
    data.images = training_x;
    data.labels = labels;
    o.epochs = 12;
    o.optimizer = &sgd;
    o.schedule.kind = CVN_SCHEDULE_PLATEAU;
    o.schedule.gamma = 0.5f;
    o.schedule.wait = 1;
    CHECKF(cvn_fit(net, &data, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_history_at(net, 11).lr < 1e-5f);
    CHECK(net->fit.plateau_cuts > 0);
    o.checkpoint = checkpoint;
    o.callback = stop_early;
    CHECK(cvn_fit(other, &data, NULL, &o) == CVN_STOPPED);
    cvn_destroy(other);
    other = classifier();
    CHECK(cvn_set_optimizer(other, &sgd) == CVN_OK);
    CHECKF(cvn_load_checkpoint(other, checkpoint) == CVN_OK, "%s", cvn_error(other));
    o.callback = NULL;
    o.checkpoint = NULL;
    o.resume = 1;
    CHECKF(cvn_fit(other, &data, NULL, &o) == CVN_OK, "%s", cvn_error(other));
    CHECK(net->fit.plateau_cuts == other->fit.plateau_cuts &&
          net->fit.plateau_best == other->fit.plateau_best);
    CHECK(!memcmp(net->weights, other->weights, net->trainable * sizeof(float)));
    remove(checkpoint);
    cvn_destroy(net);
    cvn_destroy(other);
}

int main(void)
{
    RUN(basics);
    RUN(trajectories);
    RUN(variants);
    RUN(defaults);
    RUN(changes);
    RUN(other_state);
    RUN(schedules);
    RUN(inverse);
    RUN(plateau);
    RUN(plateau_resumes);
    return test_done();
}
